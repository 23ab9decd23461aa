from collections import deque
from string import ascii_lowercase

def ladder(begin, end, words):
    queue, seen = deque([[begin]]), {begin}
    while queue:
        path = queue.popleft()
        word = path[-1]
        if word == end:
            return path
        for i in range(len(word)):
            for c in ascii_lowercase:
                other = word[:i] + c + word[i + 1 :]
                if other in words and other not in seen:
                    seen.add(other)
                    queue.append([*path, other])

print(ladder("hit", "cog", {"hot", "dot", "dog", "lot", "log", "cog"}))

# expect:
# ['hit', 'hot', 'dot', 'dog', 'cog']
