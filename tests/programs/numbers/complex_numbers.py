import cmath

z = complex(3, -4)
print(abs(z), z.conjugate(), z * 1j, z**2)
print([complex(round(r.real, 6) + 0.0, round(r.imag, 6) + 0.0) for r in (cmath.sqrt(-4), cmath.exp(1j * cmath.pi) + 1)])
modulus, angle = cmath.polar(1j)
print(modulus, round(angle, 6))

# expect:
# 5.0 (3+4j) (4+3j) (-7-24j)
# [2j, 0j]
# 1.0 1.570796
