import operator

OPS = {"+": (1, operator.add), "-": (1, operator.sub), "*": (2, operator.mul), "/": (2, operator.truediv), "^": (3, operator.pow)}

def tokens(text):
    number = ""
    for c in text + " ":
        if c.isdigit() or c == ".":
            number += c
            continue
        if number:
            yield float(number)
            number = ""
        if c.strip():
            yield c

def evaluate(text):
    values, ops = [], []
    def reduce():
        b, a = values.pop(), values.pop()
        values.append(OPS[ops.pop()][1](a, b))
    for token in tokens(text):
        if isinstance(token, float):
            values.append(token)
        elif token == "(":
            ops.append(token)
        elif token == ")":
            while ops[-1] != "(":
                reduce()
            ops.pop()
        else:
            while ops and ops[-1] != "(" and (OPS[ops[-1]][0] > OPS[token][0] or OPS[ops[-1]][0] == OPS[token][0] and token != "^"):
                reduce()
            ops.append(token)
    while ops:
        reduce()
    return values[0]

for text in ("1 + 2 * 3", "(1 + 2) * 3", "2 ^ 3 ^ 2", "100 / 8 / 2.5 - 1"):
    print(text, "=", evaluate(text))

# expect:
# 1 + 2 * 3 = 7.0
# (1 + 2) * 3 = 9.0
# 2 ^ 3 ^ 2 = 512.0
# 100 / 8 / 2.5 - 1 = 4.0
