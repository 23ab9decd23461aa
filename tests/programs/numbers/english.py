ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()

def spell(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")
    if n < 1000:
        return ONES[n // 100] + " hundred" + (" " + spell(n % 100) if n % 100 else "")
    return spell(n // 1000) + " thousand" + (" " + spell(n % 1000) if n % 1000 else "")

for n in (0, 13, 42, 100, 342, 1999, 120_007):
    print(n, spell(n))

# expect:
# 0 zero
# 13 thirteen
# 42 forty-two
# 100 one hundred
# 342 three hundred forty-two
# 1999 one thousand nine hundred ninety-nine
# 120007 one hundred twenty thousand seven
