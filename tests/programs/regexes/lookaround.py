import re

print(re.findall(r"(?<=\$)\d+(?:\.\d\d)?", "costs $45.50, not 30 or $7"))
print(re.sub(r"(?<=\d)(?=(?:\d{3})+\b)", ",", "1234567 and 89012"))
print([bool(re.fullmatch(r"(?=.*\d)(?=.*[A-Z])(?!.*\s).{8,}", p)) for p in ("Passw0rd", "password1", "Pass w0rd")])

# expect:
# ['45.50', '7']
# 1,234,567 and 89,012
# [True, False, False]
