def set_bits(n):
    count = 0
    while n:
        n &= n - 1
        count += 1
    return count

print([set_bits(n) for n in (0, 1, 255, 1023, 2**64)], (1023).bit_count(), (2**64).bit_length())
gray = [n ^ n >> 1 for n in range(8)]
print([f"{g:03b}" for g in gray])
lone = 0
for n in (4, 1, 2, 1, 2):
    lone ^= n
print(lone, ~5, -1 >> 3, 1 << 40)

# expect:
# [0, 1, 8, 10, 1] 10 65
# ['000', '001', '011', '010', '110', '111', '101', '100']
# 4 -6 -1 1099511627776
