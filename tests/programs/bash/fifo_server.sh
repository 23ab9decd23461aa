folder=$(mktemp -d)
mkfifo "$folder/in" "$folder/out"
while read -r line; do echo "${line^^}"; done < "$folder/in" > "$folder/out" &
exec 4> "$folder/in" 5< "$folder/out"
for word in hello fifo; do echo $word >&4; read -r answer <&5; echo "$answer"; done
exec 4>&- 5<&-
wait
rm -r "$folder"; echo closed

# expect:
# HELLO
# FIFO
# closed
