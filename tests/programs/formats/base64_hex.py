import base64
import binascii

data = bytes(range(0, 256, 17))
print(base64.b64encode(data).decode())
print(base64.urlsafe_b64encode(b"\xfb\xff").decode(), base64.b32encode(b"hello").decode(), base64.b85encode(b"hello").decode())
print(binascii.hexlify(b"hi"), bytes.fromhex("68 69"), binascii.crc32(b"123456789"))
try:
    base64.b64decode("a", validate=True)
except binascii.Error as error:
    print(error)

# expect:
# ABEiM0RVZneImaq7zN3u/w==
# -_8= NBSWY3DP Xk~0{Zv
# b'6869' b'hi' 3421780262
# Invalid base64-encoded string: number of data characters (1) cannot be 1 more than a multiple of 4
