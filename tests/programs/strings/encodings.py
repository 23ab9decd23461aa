text = "Grüße, 世界 🌍"
for name in ("utf-8", "utf-16-le", "utf-32-be"):
    print(name, len(text.encode(name)))
print("Grüße".encode("latin-1").hex(" "))
print("日本".encode("shift_jis"), b"\xff\xfeA\x00".decode("utf-16"))
print(b"caf\xe9".decode("utf-8", "replace"), "naïve".encode("ascii", "xmlcharrefreplace"))
try:
    b"\xc3(".decode()
except UnicodeDecodeError as error:
    print(error.reason, error.start)

# expect:
# utf-8 20
# utf-16-le 24
# utf-32-be 44
# 47 72 fc df 65
# b'\x93\xfa\x96{' A
# caf� b'na&#239;ve'
# invalid continuation byte 0
