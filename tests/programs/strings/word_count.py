from collections import Counter

text = """the quick brown fox jumps over the lazy dog
the dog sleeps and the fox runs"""
for word, count in Counter(text.split()).most_common(3):
    print(f"{count:>3} {word}")

# expect:
#   4 the
#   2 fox
#   2 dog
