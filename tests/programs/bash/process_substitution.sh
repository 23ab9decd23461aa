comm -12 <(printf '%s\n' a b c d) <(printf '%s\n' b d e)
paste <(seq 3) <(seq 4 6)
while read -r line; do count=$((count + 1)); done < <(printf 'x\ny\nz\n')
echo $count
seq 5 | tee >(cat >/dev/null) | tail -n 1

# expect:
# b
# d
# 1	4
# 2	5
# 3	6
# 3
# 5
