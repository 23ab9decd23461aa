import os
import random
import secrets
import string

token = secrets.token_urlsafe(24)
print(len(token), all(c in string.ascii_letters + string.digits + "-_" for c in token), secrets.token_hex(4) != secrets.token_hex(4))
print(len({secrets.randbelow(10**9) for _ in range(100)}) > 90, secrets.compare_digest(b"a", b"a"))
print(0 <= random.SystemRandom().random() < 1, len(os.getrandom(8)), len(open("/dev/urandom", "rb", 0).read(8)))

# expect:
# 32 True True
# True True
# True 8 8
