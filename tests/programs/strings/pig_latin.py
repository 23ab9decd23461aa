def pig(word):
    for i, c in enumerate(word):
        if c in "aeiou":
            return word[i:] + word[:i] + ("ay" if i else "way")
    return word + "ay"

print(" ".join(pig(word) for word in "the quick apple rhythm string".split()))

# expect:
# ethay uickqay appleway rhythmay ingstray
