from collections import Counter
from concurrent.futures import ThreadPoolExecutor

TEXTS = ["the cat sat", "the dog sat down", "a cat and a dog"] * 20

with ThreadPoolExecutor(4) as pool:
    total = sum(pool.map(lambda text: Counter(text.split()), TEXTS), Counter())
print(total.most_common(3), sum(total.values()))

# expect:
# [('the', 40), ('cat', 40), ('sat', 40)] 240
