numbers=(5 3 9 1 7 2)
count=${#numbers[@]}
for ((i = 0; i < count; i++)); do
    for ((j = 0; j < count - i - 1; j++)); do
        if ((numbers[j] > numbers[j + 1])); then
            swap=${numbers[j]}; numbers[j]=${numbers[j + 1]}; numbers[j + 1]=$swap
        fi
    done
done
echo "${numbers[@]}"

# expect:
# 1 2 3 5 7 9
