for n in 1 2 3 4 5 6; do
    ((n == 2)) && continue
    ((n == 5)) && break
    echo "n $n"
done
n=0
until ((n >= 3)); do ((n++)); done; echo "until $n"
while :; do for x in a b; do [ $x = b ] && break 2; echo "inner $x"; done; done
while read -r a b; do echo "$b-$a"; done <<< $'1 one\n2 two'

# expect:
# n 1
# n 3
# n 4
# until 3
# inner a
# one-1
# two-2
