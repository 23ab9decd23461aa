import builtins

x = "global"
def outer():
    x = "outer"
    def inner():
        global x
        x = "changed"
        return x
    return inner(), x
print(outer(), x)
print(sorted([3, "10", 2.5], key=float), min("bca", key=ord), list(map(divmod, [7, 9], [2, 4])), all([]), any([]))
print(hasattr(builtins, "print"), isinstance(True, int), sum([[1], [2]], []), list(filter(None, [0, 1, "", "a"])))
print(bytes(3), bytearray(b"ab") + b"c", memoryview(b"abcd")[1:3].tobytes(), slice(1, 5, 2).indices(4), hash(1) == hash(1.0))

# expect:
# ('changed', 'outer') changed
# [2.5, 3, '10'] a [(3, 1), (2, 1)] True False
# True True [1, 2] [1, 'a']
# b'\x00\x00\x00' bytearray(b'abc') b'bc' (1, 4, 2) True
