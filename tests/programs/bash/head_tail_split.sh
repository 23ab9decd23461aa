folder=$(mktemp -d); cd "$folder"
seq 10 > n
head -n 2 n; tail -n 2 n; tail -n +9 n | head -n 1; head -c 4 n | wc -c
split -l 4 n part-
wc -l part-* | awk '{print $1, $2}'
cat part-* | cmp - n && echo same
cd /; rm -r "$folder"

# expect:
# 1
# 2
# 9
# 10
# 9
# 4
# 4 part-aa
# 4 part-ab
# 2 part-ac
# 10 total
# same
