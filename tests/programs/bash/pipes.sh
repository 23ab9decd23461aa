printf '%s\n' pear apple fig apple pear apple | sort | uniq -c | sort -k1,1nr -k2 | sed 's/^ *//'
echo "one two three" | tr ' ' '\n' | rev | head -n 2
seq 1 100 | grep 7 | wc -l
false | true
echo "${PIPESTATUS[@]}"

# expect:
# 3 apple
# 2 pear
# 1 fig
# eno
# owt
# 19
# 1 0
