parent = {}

def find(x):
    parent.setdefault(x, x)
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x

edges = [(7, "A", "D"), (5, "B", "C"), (8, "A", "B"), (9, "B", "D"), (7, "B", "E"), (5, "C", "E"),
         (15, "D", "E"), (6, "D", "F"), (8, "E", "F"), (9, "E", "G"), (11, "F", "G")]
tree = []
for weight, a, b in sorted(edges):
    if find(a) != find(b):
        parent[find(a)] = find(b)
        tree.append((a, b, weight))
print(len(tree), sum(weight for *_, weight in tree))

# expect:
# 6 40
