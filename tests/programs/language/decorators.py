import functools

def retry(times):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            for attempt in range(1, times + 1):
                try:
                    return function(*args, **kwargs)
                except ValueError as error:
                    print("attempt", attempt, error)
            raise RuntimeError("gave up")
        return wrapper
    return decorate

calls = []

@retry(times=3)
def flaky(x):
    """May fail."""
    calls.append(x)
    if len(calls) < 3:
        raise ValueError("not yet")
    return x * 2

print(flaky(21), flaky.__name__, flaky.__doc__)

# expect:
# attempt 1 not yet
# attempt 2 not yet
# 42 flaky May fail.
