file=$(mktemp)
[[ -f $file && ! -s $file ]] && echo "empty file"
echo x > "$file"
[ -s "$file" ] && echo "not empty"
[[ abc == a* && abc =~ ^(a)(b.)$ ]] && echo "matched ${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
[[ 10 -gt 9 && 10 < 9 ]] && echo "numbers and texts differ"
test -z "" -a -n "x" && echo both
rm "$file"

# expect:
# empty file
# not empty
# matched a bc
# numbers and texts differ
# both
