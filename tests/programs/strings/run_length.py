from itertools import groupby

def encode(text):
    return "".join(f"{len(list(run))}{c}" for c, run in groupby(text))

def decode(text):
    out, digits = [], ""
    for c in text:
        if c.isdigit():
            digits += c
        else:
            out.append(c * int(digits))
            digits = ""
    return "".join(out)

packed = encode("wwwwaaadexxxxxx")
print(packed, decode(packed))

# expect:
# 4w3a1d1e6x wwwwaaadexxxxxx
