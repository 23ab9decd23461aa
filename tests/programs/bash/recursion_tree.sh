folder=$(mktemp -d); cd "$folder"
mkdir -p root/{a/x,b}; touch root/{f,a/g,a/x/h}
tree() {
    local path
    for path in "$1"/*; do
        [ -e "$path" ] || continue
        printf '%*s%s\n' $((2 * $2)) '' "${path##*/}"
        if [ -d "$path" ]; then tree "$path" $(($2 + 1)); fi
    done
}
tree root 0
cd /; rm -r "$folder"

# expect:
# a
#   g
#   x
#     h
# b
# f
