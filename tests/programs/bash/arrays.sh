fruits=(apple "dark cherry" plum)
fruits+=(fig)
echo "${#fruits[@]} ${fruits[1]} ${fruits[-1]}"
for i in "${!fruits[@]}"; do echo "$i=${fruits[i]}"; done
unset 'fruits[0]'
echo "${fruits[@]:1:2}" "${!fruits[*]}"

# expect:
# 4 dark cherry fig
# 0=apple
# 1=dark cherry
# 2=plum
# 3=fig
# dark cherry plum 1 2 3
