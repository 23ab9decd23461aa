printf 'one\ntwo\nthree\n' | sed -n '2p'
printf 'one\ntwo\nthree\n' | sed '2d; s/e/E/g'
echo "2026-11-30" | sed -E 's/([0-9]+)-([0-9]+)-([0-9]+)/\3.\2.\1/'
printf 'a\nb\nc\n' | sed '1i top' | sed '$a end' | paste -sd ,
printf 'x=1\ny=2\n' | sed '/^x/s/1/9/'
printf 'a\n\nb\n\n\nc\n' | sed '/^$/d' | sed 'N;s/\n/+/'

# expect:
# two
# onE
# thrEE
# 30.11.2026
# top,a,b,c,end
# x=9
# y=2
# a+b
# c
