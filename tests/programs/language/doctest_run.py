import doctest

def average(numbers):
    """The mean.

    >>> average([1, 2, 3])
    2.0
    >>> average([])
    Traceback (most recent call last):
        ...
    ZeroDivisionError: division by zero
    """
    return sum(numbers) / len(numbers)

print(doctest.testmod())

# expect:
# TestResults(failed=0, attempted=2)
