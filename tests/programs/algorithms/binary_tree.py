class Tree:
    def __init__(self):
        self.root = None

    def insert(self, key):
        def put(node):
            if node is None:
                return [key, None, None]
            side = 1 if key < node[0] else 2
            node[side] = put(node[side])
            return node
        self.root = put(self.root)

    def walk(self, node="root"):
        node = self.root if node == "root" else node
        if node:
            yield from self.walk(node[1])
            yield node[0]
            yield from self.walk(node[2])

    def depth(self, node="root"):
        node = self.root if node == "root" else node
        return 0 if node is None else 1 + max(self.depth(node[1]), self.depth(node[2]))

tree = Tree()
for key in (50, 30, 70, 20, 40, 60, 80, 10):
    tree.insert(key)
print(list(tree.walk()), tree.depth())

# expect:
# [10, 20, 30, 40, 50, 60, 70, 80] 4
