import bz2
import gzip
import lzma
import zlib

data = b"to be or not to be, that is the question. " * 100
for module in (zlib, gzip, bz2, lzma):
    packed = module.compress(data)
    print(module.__name__, len(packed) < len(data) // 10, module.decompress(packed) == data)
stream = zlib.decompressobj()
packed = zlib.compress(data, 9)
print(sum(len(stream.decompress(packed[i : i + 7])) for i in range(0, len(packed), 7)), hex(zlib.crc32(data)), hex(zlib.adler32(b"abc")))

# expect:
# zlib True True
# gzip True True
# bz2 True True
# lzma True True
# 4200 0x2ade5721 0x24d0127
