export LC_ALL=C.UTF-8
word=häßlich
echo "${#word} ${word:1:2} ${word^^}"
printf 'grün\n' | wc -m; printf 'grün\n' | wc -c
printf '\u00e9\U1F30D\n'
echo "naïve café" | sed 's/é/e/; s/ï/i/'

# expect:
# 7 äß HÄßLICH
# 5
# 6
# é🌍
# naive cafe
