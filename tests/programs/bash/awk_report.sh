awk -F, 'NR > 1 { sum[$1] += $3; n[$1]++ } END { for (k in sum) printf "%s %d %.2f\n", k, n[k], sum[k] / n[k] }' <<'END' | sort
city,day,temp
oslo,1,3.5
rome,1,15
oslo,2,4.5
rome,2,17
END
echo "a b c" | awk '{ $2 = "X"; print NF, $0 }'
seq 10 | awk '/[02468]$/ { even += $1 } !/[02468]$/ { odd += $1 } END { print even, odd }'
awk 'BEGIN { s = "hello"; print toupper(substr(s, 2, 3)), length(s), index(s, "l"), 2 ^ 10; gsub(/l/, "L", s); print s }'

# expect:
# oslo 2 4.00
# rome 2 16.00
# 3 a X c
# 30 25
# ELL 5 3 1024
# heLLo
