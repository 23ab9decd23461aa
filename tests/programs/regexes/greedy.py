import re

text = "<b>one</b><b>two</b>"
print(re.findall(r"<b>.*</b>", text), re.findall(r"<b>(.*?)</b>", text))
print(re.match(r"a{2,3}", "aaaa").group(), re.match(r"a{2,3}?", "aaaa").group())
print(re.escape("1.5*(a+b)"), re.compile("x").search("abc"))

# expect:
# ['<b>one</b><b>two</b>'] ['one', 'two']
# aaa aa
# 1\.5\*\(a\+b\) None
