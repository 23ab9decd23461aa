import re

TOKENS = [("NUMBER", r"\d+(?:\.\d*)?"), ("ASSIGN", r":="), ("END", r";"), ("ID", r"[A-Za-z]+"),
          ("OP", r"[+\-*/]"), ("SKIP", r"[ \t]+"), ("OTHER", r".")]
pattern = re.compile("|".join(f"(?P<{name}>{text})" for name, text in TOKENS))
for match in pattern.finditer("total := price * 1.2;"):
    if match.lastgroup != "SKIP":
        print(match.lastgroup, match.group())

# expect:
# ID total
# ASSIGN :=
# ID price
# OP *
# NUMBER 1.2
# END ;
