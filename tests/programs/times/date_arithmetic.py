from datetime import date, datetime, time, timedelta

start = date(2024, 2, 28)
print([str(start + timedelta(days=n)) for n in range(3)], (date(2026, 1, 1) - date(2025, 1, 1)).days)
print(date(2026, 11, 30).isocalendar(), date.fromordinal(739_000), date(2026, 11, 30).weekday())
moment = datetime.combine(start, time(23, 59, 30))
print(moment + timedelta(seconds=45), moment.replace(hour=0), (timedelta(hours=49) // timedelta(days=1)))
print(timedelta(days=1, hours=-3, milliseconds=5), timedelta(minutes=90).total_seconds())

# expect:
# ['2024-02-28', '2024-02-29', '2024-03-01'] 365
# datetime.IsoCalendarDate(year=2026, week=49, weekday=1) 2024-04-24 0
# 2024-02-29 00:00:15 2024-02-28 00:59:30 2
# 21:00:00.005000 5400.0
