import os.path

def prefix(words):
    shortest = min(words, key=len)
    for i, c in enumerate(shortest):
        if any(word[i] != c for word in words):
            return shortest[:i]
    return shortest

print(prefix(["flower", "flow", "flight"]))
print(repr(prefix(["dog", "car"])))
print(os.path.commonprefix(["/usr/lib", "/usr/local"]))

# expect:
# fl
# ''
# /usr/l
