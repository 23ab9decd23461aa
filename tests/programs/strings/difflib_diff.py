import difflib

before = ["one", "two", "three", "four"]
after = ["one", "2", "three", "four", "five"]
for line in difflib.unified_diff(before, after, "a", "b", lineterm=""):
    print(line)
print(difflib.get_close_matches("appel", ["ape", "apple", "peach", "puppy"]))
print(round(difflib.SequenceMatcher(None, "abcd", "bcde").ratio(), 2))

# expect:
# --- a
# +++ b
# @@ -1,4 +1,5 @@
#  one
# -two
# +2
#  three
#  four
# +five
# ['apple', 'ape']
# 0.75
