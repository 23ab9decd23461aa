while IFS=, read -r name qty price; do
    printf '%-8s %3d %8.2f\n' "$name" "$qty" "$price"
    total=$(awk -v t="${total:-0}" -v q="$qty" -v p="$price" 'BEGIN { print t + q * p }')
done <<'END'
pen,10,1.5
notebook,3,4.25
END
printf '%-8s %12.2f\n' total "$total"

# expect:
# pen       10     1.50
# notebook   3     4.25
# total           27.75
