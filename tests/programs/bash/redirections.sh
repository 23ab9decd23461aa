{ echo out; echo err >&2; } 2>&1 | sort
folder=$(mktemp -d); cd "$folder"
echo one > f; echo two >> f; cat < f
exec 3> g; echo "via 3" >&3; exec 3>&-
cat g
ls /no/such/file 2>/dev/null || echo failed quietly
set -C; echo x > f 2>/dev/null || echo "not overwritten"
echo forced >| f; cat f
cd /; rm -r "$folder"

# expect:
# err
# out
# one
# two
# via 3
# failed quietly
# not overwritten
# forced
