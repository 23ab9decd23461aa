import math
import sys

print(float("inf") > 1e308, math.isnan(float("nan")), float("nan") == float("nan"), -0.0 == 0.0)
print((0.1).hex(), float.fromhex("0x1.8p+1"), (0.75).as_integer_ratio(), sys.float_info.dig)
print(math.fsum([0.1] * 10), math.prod([1.5, 2, 4]), math.isclose(0.1 + 0.2, 0.3), math.nextafter(1, 2) > 1)
print(math.trunc(-2.7), math.floor(-2.7), math.ceil(-2.7), math.copysign(1, -0.0), math.hypot(3, 4))

# expect:
# True True False True
# 0x1.999999999999ap-4 3.0 (3, 4) 15
# 1.0 12.0 True True
# -2 -3 -2 -1.0 5.0
