json='{"items":[{"n":"a","v":3},{"n":"b","v":1},{"n":"c","v":2}],"ok":true}'
jq -r '.items | sort_by(.v) | .[].n' <<< "$json"
jq -c '[.items[] | select(.v > 1) | {(.n): .v}] | add' <<< "$json"
jq '.items | map(.v) | add, length, (add / length)' <<< "$json"
jq -n --arg x "quo\"te" '{x: $x, list: [range(3)]}' | jq -c .
jq -e '.missing' <<< "$json" >/dev/null || echo "status $?"

# expect:
# b
# c
# a
# {"a":3,"c":2}
# 6
# 3
# 2
# {"x":"quo\"te","list":[0,1,2]}
# status 1
