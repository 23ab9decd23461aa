def sieve(limit):
    flags = bytearray([1]) * (limit + 1)
    flags[:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if flags[n]:
            flags[n * n :: n] = bytes(len(range(n * n, limit + 1, n)))
    return [n for n, flag in enumerate(flags) if flag]

primes = sieve(100_000)
print(len(primes), primes[:10], primes[-1])

# expect:
# 9592 [2, 3, 5, 7, 11, 13, 17, 19, 23, 29] 99991
