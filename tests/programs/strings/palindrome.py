def is_palindrome(text):
    letters = [c.lower() for c in text if c.isalnum()]
    return letters == letters[::-1]

for text in ("A man, a plan, a canal: Panama", "race a car", "", "Was it a car or a cat I saw?"):
    print(repr(text), is_palindrome(text))

# expect:
# 'A man, a plan, a canal: Panama' True
# 'race a car' False
# '' True
# 'Was it a car or a cat I saw?' True
