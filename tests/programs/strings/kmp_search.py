def table(pattern):
    fail, k = [0] * len(pattern), 0
    for i in range(1, len(pattern)):
        while k and pattern[i] != pattern[k]:
            k = fail[k - 1]
        k += pattern[i] == pattern[k]
        fail[i] = k
    return fail

def find_all(text, pattern):
    fail, k, found = table(pattern), 0, []
    for i, c in enumerate(text):
        while k and c != pattern[k]:
            k = fail[k - 1]
        k += c == pattern[k]
        if k == len(pattern):
            found.append(i - k + 1)
            k = fail[k - 1]
    return found

print(table("abacab"), find_all("ababcabababab", "abab"))

# expect:
# [0, 0, 1, 0, 1, 2] [0, 5, 7, 9]
