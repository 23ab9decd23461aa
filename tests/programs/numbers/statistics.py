import statistics as s

data = [2.75, 1.75, 1.25, 0.25, 0.5, 1.25, 3.5]
print(round(s.mean(data), 4), s.median(data), s.mode(data), round(s.stdev(data), 4))
print(s.quantiles([1, 2, 3, 4, 5, 6, 7, 8], n=4), s.geometric_mean([54, 24, 36]).__round__(6))
slope, intercept = s.linear_regression([1, 2, 3, 4], [2, 4, 6, 8.5])
print(round(slope, 3), round(intercept, 3))

# expect:
# 1.6071 1.25 1.25 1.1713
# [2.25, 4.5, 6.75] 36.0
# 2.15 -0.25
