import cProfile
import io
import pstats
import timeit
import tracemalloc

print(timeit.timeit("sum(range(100))", number=100) > 0)
def work():
    return sorted(range(1000), key=lambda n: -n)
profile = cProfile.Profile()
profile.runcall(work)
out = io.StringIO()
pstats.Stats(profile, stream=out).sort_stats("ncalls").print_stats(3)
print("1000" in out.getvalue(), "work" in out.getvalue() or "lambda" in out.getvalue())
tracemalloc.start()
kept = bytearray(2_000_000)
print(tracemalloc.get_traced_memory()[1] > 2_000_000)

# expect:
# True
# True True
# True
