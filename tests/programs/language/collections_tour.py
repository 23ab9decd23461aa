from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple

Point = namedtuple("Point", "x y", defaults=[0])
print(Point(1)._replace(y=5), Point(1) == (1, 0), Point._fields)
print(Counter("mississippi") - Counter("miss"), ChainMap({"a": 1}, {"a": 2, "b": 3})["b"])
last = deque(maxlen=3)
last.extend(range(6))
last.rotate(1)
print(last, defaultdict(list, a=[1])["b"], list(OrderedDict(b=1, a=2)))

class Lower(UserDict):
    def __setitem__(self, key, value):
        super().__setitem__(key.lower(), value)

print(Lower(A=1, B=2))

# expect:
# Point(x=1, y=5) True ('x', 'y')
# Counter({'i': 3, 's': 2, 'p': 2}) 3
# deque([5, 3, 4], maxlen=3) [] ['b', 'a']
# {'a': 1, 'b': 2}
