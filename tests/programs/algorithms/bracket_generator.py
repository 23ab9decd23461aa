def pairs(n, opened=0, closed=0, text=""):
    if closed == n:
        yield text
    if opened < n:
        yield from pairs(n, opened + 1, closed, text + "(")
    if closed < opened:
        yield from pairs(n, opened, closed + 1, text + ")")

print(list(pairs(3)), [sum(1 for _ in pairs(n)) for n in range(1, 8)])

# expect:
# ['((()))', '(()())', '(())()', '()(())', '()()()'] [1, 2, 5, 14, 42, 132, 429]
