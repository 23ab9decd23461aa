def numbers():
    n = 0
    while True:
        got = yield n
        n = n + 1 if got is None else got

def take(count, items):
    for _, item in zip(range(count), items):
        yield item

source = numbers()
print(list(take(3, source)), source.send(100), next(source))
def chain(*parts):
    for part in parts:
        yield from part
    return "done"
def outer():
    print("returned", (yield from chain("ab", [1])))
print(list(outer()))
source.close()
try:
    next(source)
except StopIteration:
    print("closed")

# expect:
# [0, 1, 2] 100 101
# returned done
# ['a', 'b', 1]
# closed
