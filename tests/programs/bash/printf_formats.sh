printf '%5d|%-5s|%05.2f|%x|%o|%e\n' 42 ab 3.14159 255 8 12345.678
printf '%s-' a b c; echo
printf '%b\n' 'tab\there'
printf '%q\n' "it's a \$test"
printf -v padded '%-10s|' hi; echo "$padded"
printf '%(%Y)T\n' 0

# expect:
#    42|ab   |03.14|ff|10|1.234568e+04
# a-b-c-
# tab	here
# it\'s\ a\ \$test
# hi        |
# 1970
