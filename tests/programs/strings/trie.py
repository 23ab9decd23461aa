class Trie:
    def __init__(self):
        self.children, self.ends = {}, False

    def insert(self, word):
        node = self
        for c in word:
            node = node.children.setdefault(c, Trie())
        node.ends = True

    def words(self, prefix=""):
        if self.ends:
            yield prefix
        for c in sorted(self.children):
            yield from self.children[c].words(prefix + c)

    def starting(self, prefix):
        node = self
        for c in prefix:
            if c not in node.children:
                return []
            node = node.children[c]
        return list(node.words(prefix))

trie = Trie()
for word in ("car", "card", "care", "cat", "dog", "do"):
    trie.insert(word)
print(trie.starting("car"), trie.starting("do"), trie.starting("x"))

# expect:
# ['car', 'card', 'care'] ['do', 'dog'] []
