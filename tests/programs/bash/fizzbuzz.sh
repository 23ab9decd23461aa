for n in {1..15}; do
    out=
    ((n % 3)) || out=Fizz
    ((n % 5)) || out+=Buzz
    printf '%s ' "${out:-$n}"
done
echo

# expect:
# 1 2 Fizz 4 Buzz Fizz 7 8 Fizz Buzz 11 Fizz 13 14 FizzBuzz 
