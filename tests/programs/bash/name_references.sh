swap() { local -n x=$1 y=$2; local t=$x; x=$y; y=$t; }
left=1 right=2
swap left right
echo "$left $right"
variable=left; echo "${!variable}"
declare -i number=5; number+=3; echo $number
declare -r constant=1; (constant=2) 2>/dev/null || echo "read only"
declare -u upper=shout; declare -l lower=QUIET; echo "$upper $lower"
compgen -v left

# expect:
# 2 1
# 2
# 8
# read only
# SHOUT quiet
# left
