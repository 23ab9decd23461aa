import hashlib
import hmac

for name in ("md5", "sha1", "sha256", "sha3_256", "blake2s"):
    print(name, hashlib.new(name, b"abc").hexdigest()[:16])
digest = hashlib.sha256()
for piece in (b"a", b"b", b"c"):
    digest.update(piece)
print(digest.hexdigest() == hashlib.sha256(b"abc").hexdigest())
print(hmac.new(b"key", b"The quick brown fox jumps over the lazy dog", "sha256").hexdigest()[:16])
print(hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1000).hex()[:16], hmac.compare_digest("a", "a"))

# expect:
# md5 900150983cd24fb0
# sha1 a9993e364706816a
# sha256 ba7816bf8f01cfea
# sha3_256 3a985da74fe225b2
# blake2s 508c5e8c327c14e2
# True
# f7bc83f430538424
# 632c2812e46d4604 True
