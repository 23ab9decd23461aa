out=$(mktemp -d)
for part in 0 1 2 3; do
    ( sum=0; for ((i = part * 250 + 1; i <= (part + 1) * 250; i++)); do ((sum += i)); done; echo $sum > "$out/$part" ) &
done
wait
cat "$out"/* | paste -sd+ | sed 's/.*/echo $((&))/' | bash
rm -r "$out"

# expect:
# 500500
