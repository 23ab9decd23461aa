import copy

class Team:
    def __init__(self, names):
        self.names = names

original = Team([["ann"], "bob"])
shallow, deep = copy.copy(original), copy.deepcopy(original)
original.names[0].append("x")
print(shallow.names, deep.names, shallow.names is original.names)
a = [1, [2]]
b = a[:]
b[1].append(3)
print(a, a == b, a is b)

# expect:
# [['ann', 'x'], 'bob'] [['ann'], 'bob'] True
# [1, [2, 3]] True False
