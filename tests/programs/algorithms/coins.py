def fewest(coins, amount):
    best = [0] + [float("inf")] * amount
    for total in range(1, amount + 1):
        best[total] = min((best[total - c] + 1 for c in coins if c <= total), default=float("inf"))
    return best[amount]

def ways(coins, amount):
    counts = [1] + [0] * amount
    for coin in coins:
        for total in range(coin, amount + 1):
            counts[total] += counts[total - coin]
    return counts[amount]

print(fewest([1, 5, 12], 16), fewest([2], 3), ways([1, 2, 5, 10, 20, 50, 100, 200], 200))

# expect:
# 4 inf 73682
