echo {a,b}{1,2} {01..05} {e..a} {0..20..5}
echo pre-{x,y{1,2}}-post
mkdir -p "${d:=$(mktemp -d)}"/{src,test}/{a,b}
(cd "$d" && find . -mindepth 2 | sort | paste -sd ' ')
rm -r "$d"

# expect:
# a1 a2 b1 b2 01 02 03 04 05 e d c b a 0 5 10 15 20
# pre-x-post pre-y1-post pre-y2-post
# ./src/a ./src/b ./test/a ./test/b
