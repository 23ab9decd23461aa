while IFS=: read -r user _ id _; do echo "$user has $id"; done <<'END'
root:x:0:0
ann:x:1000:1000
END
IFS=, read -ra parts <<< "a,b c,,d"
echo "${#parts[@]} ${parts[1]}"
read -r -n 3 three <<< "abcdef"; echo "$three"
mapfile -t lines < <(printf '1\n2\n3\n'); echo "${lines[@]:1}"

# expect:
# root has 0
# ann has 1000
# 4 b c
# abc
# 2 3
