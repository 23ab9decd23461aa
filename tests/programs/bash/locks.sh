folder=$(mktemp -d)
echo 0 > "$folder/n"
add() {
    for _ in 1 2 3 4 5; do
        until mkdir "$folder/lock" 2>/dev/null; do sleep 0.01; done
        echo $(($(cat "$folder/n") + 1)) > "$folder/n"
        rmdir "$folder/lock"
    done
}
add & add & add &
wait
cat "$folder/n"
rm -r "$folder"

# expect:
# 15
