def averager():
    total, count, average = 0, 0, None
    try:
        while True:
            total += yield average
            count += 1
            average = total / count
    finally:
        print("seen", count)

mean = averager()
next(mean)
print([mean.send(n) for n in (10, 20, 60)])
mean.close()

# expect:
# [10.0, 15.0, 30.0]
# seen 3
