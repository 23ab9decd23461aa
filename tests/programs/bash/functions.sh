add() { echo $(($1 + $2)); }
factorial() {
    local n=$1
    if ((n < 2)); then echo 1; else echo $((n * $(factorial $((n - 1))))); fi
}
fill() { local -n target=$1; target=(a b c); }
check() { return $(($1 % 2)); }
echo "$(add 2 40) $(factorial 10)"
fill letters
echo "${letters[*]}"
check 3 || echo odd
args() { echo "$#: $*"; shift 2; echo "$1"; }
args one "two words" three

# expect:
# 42 3628800
# a b c
# odd
# 3: one two words three
# three
