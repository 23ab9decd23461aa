square() { echo $(($1 * $1)); }
export -f square
seq 5 | xargs -I{} bash -c 'square {}' | paste -sd ' '
printf '%s\0' "a b" c | xargs -0 printf '[%s]\n'

# expect:
# 1 4 9 16 25
# [a b]
# [c]
