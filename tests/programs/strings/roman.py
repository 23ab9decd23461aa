PAIRS = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
         (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]

def to_roman(n):
    out = ""
    for value, letters in PAIRS:
        out += letters * (n // value)
        n %= value
    return out

def from_roman(text):
    values = dict((letters, value) for value, letters in PAIRS if len(letters) == 1)
    total = 0
    for a, b in zip(text, text[1:] + " "):
        total += -values[a] if values[a] < values.get(b, 0) else values[a]
    return total

print([to_roman(n) for n in (4, 9, 1994, 2026, 3999)])
print(all(from_roman(to_roman(n)) == n for n in range(1, 4000)))

# expect:
# ['IV', 'IX', 'MCMXCIV', 'MMXXVI', 'MMMCMXCIX']
# True
