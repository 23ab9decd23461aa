limit=60
for ((n = 2; n <= limit; n++)); do composite[n]=${composite[n]:-0}
    ((composite[n])) && continue
    primes+=($n)
    for ((m = n * n; m <= limit; m += n)); do composite[m]=1; done
done
echo "${primes[@]}"

# expect:
# 2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59
