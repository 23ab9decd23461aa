import gc
import weakref

class Node:
    __slots__ = ("value", "__weakref__")

    def __init__(self, value):
        self.value = value

node = Node(1)
try:
    node.other = 2
except AttributeError:
    print("no such slot")
gone = []
ref = weakref.ref(node, lambda _: gone.append(True))
cache = weakref.WeakValueDictionary(a=node)
print(ref().value, list(cache))
del node
gc.collect()
print(ref(), list(cache), gone)

# expect:
# no such slot
# 1 ['a']
# None [] [True]
