folder=$(mktemp -d); cd "$folder"
printf '1 ann\n2 bob\n3 eve\n' > people
printf '1 oslo\n3 rome\n4 bern\n' > cities
join people cities
join -a 1 -e none -o 1.2,2.2 people cities
comm -3 <(cut -d' ' -f1 people) <(cut -d' ' -f1 cities) | tr -d '\t'
cd /; rm -r "$folder"

# expect:
# 1 ann oslo
# 3 eve rome
# ann oslo
# bob none
# eve rome
# 2
# 4
