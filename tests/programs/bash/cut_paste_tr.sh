printf 'a:b:c\nd:e:f\n' | cut -d: -f1,3
echo "Hello World" | cut -c1-5
echo "hello" | tr 'a-y' 'b-z'
echo "aabbcc  dd" | tr -s 'a-c ' | tr -d 'd'
paste -d- <(printf '1\n2\n') <(printf 'a\nb\n')
printf '1\n2\n3\n4\n' | paste - -
echo "x,y" | tr , '\n' | nl -w2 -s': '

# expect:
# a:c
# d:f
# Hello
# ifmmp
# abc 
# 1-a
# 2-b
# 1	2
# 3	4
#  1: x
#  2: y
