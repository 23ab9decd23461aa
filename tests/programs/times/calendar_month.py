import calendar

print(calendar.month(2026, 2))
print(calendar.isleap(2024), calendar.monthrange(2026, 2), calendar.day_name[0])
print([d for d in range(1, 32) if calendar.weekday(2026, 11 if d < 31 else 12, d) == 4 and d == 13])

# expect:
#    February 2026
# Mo Tu We Th Fr Sa Su
#                    1
#  2  3  4  5  6  7  8
#  9 10 11 12 13 14 15
# 16 17 18 19 20 21 22
# 23 24 25 26 27 28
#
# True (6, 28) Monday
# [13]
