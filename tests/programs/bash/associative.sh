declare -A ages=([ann]=31 [bob]=27)
ages[eve]=45
for name in $(printf '%s\n' "${!ages[@]}" | sort); do echo "$name ${ages[$name]}"; done
[[ -v ages[bob] ]] && echo known
unset 'ages[bob]'
echo "${#ages[@]} ${ages[zoe]:-nobody}"

# expect:
# ann 31
# bob 27
# eve 45
# known
# 2 nobody
