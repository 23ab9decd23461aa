data='bob 25 3.5
ann 31 10.25
eve 25 -1'
sort <<< "$data"
sort -k2,2n -k1,1r <<< "$data"
sort -k3,3g <<< "$data" | head -n 1
printf '10\n9\n2\n10\n' | sort -n -u | paste -sd ' '
printf 'v1.10\nv1.9\nv1.2\n' | sort -V | paste -sd ' '

# expect:
# ann 31 10.25
# bob 25 3.5
# eve 25 -1
# eve 25 -1
# bob 25 3.5
# ann 31 10.25
# eve 25 -1
# 2 9 10
# v1.2 v1.9 v1.10
