import string

def shift(text, by):
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    table = str.maketrans(lower + upper, lower[by:] + lower[:by] + upper[by:] + upper[:by])
    return text.translate(table)

secret = shift("Hello, World!", 3)
print(secret)
print(shift(secret, 23))

# expect:
# Khoor, Zruog!
# Hello, World!
