import gc
import sys

class Node:
    pass

gc.collect()
a, b = Node(), Node()
a.other, b.other = b, a
print(sys.getrefcount(a) >= 3, gc.isenabled(), len(gc.get_referents(a.__dict__)) >= 1)
del a, b
print(gc.collect() >= 2, sys.getsizeof([]) < sys.getsizeof([0] * 100), sys.intern("ab") is sys.intern("ab"))

# expect:
# True True True
# True True True
