( trap 'echo child ends' EXIT; echo in child )
cleanup() { rm -rf "$folder"; echo cleaned; }
folder=$(mktemp -d)
trap cleanup EXIT
touch "$folder/x"
ls "$folder"

# expect:
# in child
# child ends
# x
# cleaned
