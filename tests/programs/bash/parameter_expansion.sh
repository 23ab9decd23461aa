path=/usr/local/lib/libfoo.so.1.2
echo "${path##*/} ${path%/*} ${path%%.*} ${path#*/}"
echo "${path/lib/LIB} ${path//lib/LIB} ${#path} ${path:5:5} ${path: -3}"
word=hello
echo "${word^} ${word^^} ${word//[aeiou]/_} ${missing:-default} ${missing:+set}end"
: "${made:=assigned}"
echo "$made" "${word@Q}"

# expect:
# libfoo.so.1.2 /usr/local/lib /usr/local/lib/libfoo usr/local/lib/libfoo.so.1.2
# /usr/local/LIB/libfoo.so.1.2 /usr/local/LIB/LIBfoo.so.1.2 28 local 1.2
# Hello HELLO h_ll_ default end
# assigned 'hello'
