RANDOM=42; a=$RANDOM; RANDOM=42; [ $a = $RANDOM ] && echo "same seed, same number"
seq 20 | shuf | sort -n | tail -n 1
printf 'b\na\nb\nc\na\n' | awk '!seen[$0]++' | paste -sd ' '
seq 5 | tac | paste -sd ' '
seq -s ' ' 2 4 14; seq -w 8 11 | paste -sd ' '

# expect:
# same seed, same number
# 20
# b a c
# 5 4 3 2 1
# 2 6 10 14
# 08 09 10 11
