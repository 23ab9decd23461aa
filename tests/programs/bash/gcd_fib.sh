gcd() { (($2)) && gcd "$2" $(($1 % $2)) || echo "$1"; }
echo "$(gcd 1071 462) $(gcd 17 5)"
a=0 b=1
for _ in {1..20}; do printf '%d ' $a; ((t = a + b, a = b, b = t)); done
echo
to_binary() { local n=$1 out=; while ((n)); do out=$((n % 2))$out; ((n /= 2)); done; echo "${out:-0}"; }
echo "$(to_binary 37) $((2#$(to_binary 37)))"

# expect:
# 21 1
# 0 1 1 2 3 5 8 13 21 34 55 89 144 233 377 610 987 1597 2584 4181 
# 100101 37
