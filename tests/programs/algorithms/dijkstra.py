import heapq

graph = {"A": {"B": 7, "C": 9, "F": 14}, "B": {"C": 10, "D": 15}, "C": {"D": 11, "F": 2},
         "D": {"E": 6}, "E": {}, "F": {"E": 9}}

def paths(start):
    costs, before, queue = {start: 0}, {}, [(0, start)]
    while queue:
        cost, node = heapq.heappop(queue)
        if cost > costs[node]:
            continue
        for other, weight in graph[node].items():
            if cost + weight < costs.get(other, float("inf")):
                costs[other], before[other] = cost + weight, node
                heapq.heappush(queue, (costs[other], other))
    return costs, before

costs, before = paths("A")
print(costs)
route = ["E"]
while route[-1] in before:
    route.append(before[route[-1]])
print(" -> ".join(reversed(route)))

# expect:
# {'A': 0, 'B': 7, 'C': 9, 'F': 11, 'D': 20, 'E': 20}
# A -> C -> F -> E
