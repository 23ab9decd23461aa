from datetime import date, timedelta

def business_days(start, end, holidays=()):
    day, count = start, 0
    while day < end:
        count += day.weekday() < 5 and day not in holidays
        day += timedelta(days=1)
    return count

print(business_days(date(2026, 12, 21), date(2027, 1, 4), {date(2026, 12, 25), date(2027, 1, 1)}))

def easter(year):
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    h = (19 * a + b - d - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    i, k = divmod(c, 4)
    l = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * l) // 451
    month, day = divmod(h + l - 7 * m + 114, 31)
    return date(year, month, day + 1)

print([str(easter(year)) for year in (2024, 2025, 2026)])

# expect:
# 8
# ['2024-03-31', '2025-04-20', '2026-04-05']
