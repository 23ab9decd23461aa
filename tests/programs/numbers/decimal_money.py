from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, getcontext, localcontext

print(0.1 + 0.2 == 0.3, Decimal("0.1") + Decimal("0.2") == Decimal("0.3"))
print([str(Decimal(x).quantize(Decimal("0.1"), ROUND_HALF_EVEN)) for x in ("0.25", "0.35")])
print([str(Decimal(x).quantize(Decimal("0.1"), ROUND_HALF_UP)) for x in ("0.25", "0.35")])
with localcontext() as context:
    context.prec = 30
    print(Decimal(1) / Decimal(7))
    print(Decimal(2).sqrt())
print(getcontext().prec, sum([Decimal("19.99")] * 3))

# expect:
# False True
# ['0.2', '0.4']
# ['0.3', '0.4']
# 0.142857142857142857142857142857
# 1.41421356237309504880168872421
# 28 59.97
