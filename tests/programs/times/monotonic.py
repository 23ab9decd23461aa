import time

a, b = time.monotonic(), time.perf_counter_ns()
time.sleep(0.01)
print(time.monotonic() - a >= 0.01, time.perf_counter_ns() - b >= 10_000_000)
print(time.gmtime(86_400 * 365)[:3], time.strftime("%H:%M", time.gmtime(3_660)), time.get_clock_info("monotonic").monotonic)
print(time.process_time() >= 0, time.thread_time() >= 0)

# expect:
# True True
# (1971, 1, 1) 01:01 True
# True True
