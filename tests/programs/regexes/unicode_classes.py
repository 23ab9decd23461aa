import re

print(re.findall(r"\w+", "naïve café 東京 x_1"), re.findall(r"\w+", "naïve", re.A))
print(re.fullmatch(r"\d+", "٣٤") is not None, re.fullmatch(r"\d+", "٣٤", re.A))
print(re.findall(r"[^\W\d_]+", "abc123_déf"))

# expect:
# ['naïve', 'café', '東京', 'x_1'] ['na', 've']
# True None
# ['abc', 'déf']
