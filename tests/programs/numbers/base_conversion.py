DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

def to_base(n, base):
    out = ""
    while n:
        n, digit = divmod(n, base)
        out = DIGITS[digit] + out
    return out or "0"

for n, base in ((255, 2), (255, 16), (123456789, 36), (0, 7)):
    text = to_base(n, base)
    print(text, int(text, base) == n)
print(int("0b1011", 0), int("0o17", 0), int("ff_ff", 16), bin(-5), (5).to_bytes(2, "big"))

# expect:
# 11111111 True
# ff True
# 21i3v9 True
# 0 True
# 11 15 65535 -0b101 b'\x00\x05'
