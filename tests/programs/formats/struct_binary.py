import struct

packed = struct.pack("<IhB4sd", 0xDEADBEEF, -2, 255, b"ab", 1.5)
print(packed.hex(), struct.calcsize("<IhB4sd"))
print(struct.unpack("<IhB4sd", packed))
print([struct.unpack_from(">H", b"\x01\x02\x03\x04", i)[0] for i in range(0, 4, 2)])
header = struct.Struct("!BBHHH")
print(header.pack(8, 0, 0, 1, 2).hex(" "), list(struct.iter_unpack("<h", b"\x01\x00\xff\xff")))

# expect:
# efbeaddefeffff61620000000000000000f83f 19
# (3735928559, -2, 255, b'ab\x00\x00', 1.5)
# [258, 772]
# 08 00 00 00 00 01 00 02 [(1,), (-1,)]
