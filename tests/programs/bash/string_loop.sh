text="hello bash"
for ((i = ${#text} - 1; i >= 0; i--)); do reversed+=${text:i:1}; done
echo "$reversed"
declare -A seen
for ((i = 0; i < ${#text}; i++)); do c=${text:i:1}; seen[$c]=$((${seen[$c]:-0} + 1)); done
echo "${seen[l]} ${seen[h]} ${#seen[@]}"
[[ racecar == "$(rev <<< racecar)" ]] && echo palindrome

# expect:
# hsab olleh
# 2 2 8
# palindrome
