printf 'abc' | sha256sum | cut -c1-16
printf 'abc' | md5sum | cut -d' ' -f1
folder=$(mktemp -d); cd "$folder"
echo data > a; echo more > b
sha256sum a b > sums
sha256sum -c sums
echo changed > b
sha256sum -c --quiet sums 2>/dev/null || echo "changed"
cd /; rm -r "$folder"
printf 'hello' | base64; printf 'aGVsbG8=' | base64 -d; echo

# expect:
# ba7816bf8f01cfea
# 900150983cd24fb0d6963f7d28e17f72
# a: OK
# b: OK
# b: FAILED
# changed
# aGVsbG8=
# hello
