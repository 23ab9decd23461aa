from fractions import Fraction

total = sum(Fraction(1, n) for n in range(1, 11))
print(total, float(total))
print(Fraction("0.125"), Fraction(3.14159265).limit_denominator(1000), Fraction(7, 3) % 1)

# expect:
# 7381/2520 2.9289682539682538
# 1/8 355/113 1/3
