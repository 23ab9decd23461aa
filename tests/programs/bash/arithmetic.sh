a=7 b=3
echo $((a + b)) $((a / b)) $((a % b)) $((a ** b)) $((a > b ? 1 : 0)) $((0x1f)) $((2#1010))
((a += 5, b--))
echo $a $b $((a & 6)) $((a << 2)) $((-7 / 2))
for ((i = 0, sum = 0; i < 5; i++)); do ((sum += i * i)); done
echo $sum
let "c = a * b"
echo $c

# expect:
# 10 2 1 343 1 31 10
# 12 2 4 48 -3
# 30
# 24
