import re

print(re.split(r"[;,\s]\s*", "a, b;c d,e"), re.split(r"(-)", "1-2-3", maxsplit=1))
print(re.findall(r"^\w+", "one two\nthree four", re.M), re.match(r"a.b", "a\nb", re.S) is not None)
print(re.findall(r"""
    (\d+) \s* (kg|g)   # a weight
""", "5kg, 300 g, 7 m", re.X | re.I))

# expect:
# ['a', 'b', 'c', 'd', 'e'] ['1', '-', '2-3']
# ['one', 'three'] True
# [('5', 'kg'), ('300', 'g')]
