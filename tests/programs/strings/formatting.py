value, name = 1234567.891, "box"
print(f"{value:,.2f}|{value:e}|{value:>15.1f}|{value:<12.0f}|")
print(f"{255:#x} {255:#b} {255:08o} {-42:+d} {42: d} {0.256:.1%}")
print(f"{name!r:>8}|{name:^9}|{name:*<6}|{name:.2}")
print("{0}-{1}-{0}".format("a", "b"), "%05.1f|%-5s|%x" % (3.14159, "ab", 255))
width = 8
print(f"{name:>{width}}{value = :.0f}")

# expect:
# 1,234,567.89|1.234568e+06|      1234567.9|1234568     |
# 0xff 0b11111111 00000377 -42  42 25.6%
#    'box'|   box   |box***|bo
# a-b-a 003.1|ab   |ff
#      boxvalue = 1234568
