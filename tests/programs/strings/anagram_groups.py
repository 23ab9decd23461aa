from collections import defaultdict

words = "eat tea tan ate nat bat listen silent enlist".split()
groups = defaultdict(list)
for word in words:
    groups["".join(sorted(word))].append(word)
for key in sorted(groups):
    print(key, groups[key])

# expect:
# abt ['bat']
# aet ['eat', 'tea', 'ate']
# ant ['tan', 'nat']
# eilnst ['listen', 'silent', 'enlist']
