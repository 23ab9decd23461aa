import heapq
from collections import Counter

def codes(text):
    heap = [(count, symbol, symbol) for symbol, count in Counter(text).items()]
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, x, left), (b, y, right) = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (a + b, min(x, y), (left, right)))
    def walk(node, code=""):
        if isinstance(node, str):
            return {node: code or "0"}
        return walk(node[0], code + "0") | walk(node[1], code + "1")
    return walk(heap[0][2])

table = codes("abracadabra")
packed = "".join(table[c] for c in "abracadabra")
print(len(packed), sorted(len(code) for code in table.values()))
back, text, code = {v: k for k, v in table.items()}, "", ""
for bit in packed:
    code += bit
    if code in back:
        text, code = text + back[code], ""
print(text)

# expect:
# 23 [1, 2, 3, 4, 4]
# abracadabra
