def balanced(text):
    pairs, stack = {")": "(", "]": "[", "}": "{"}, []
    for c in text:
        if c in pairs.values():
            stack.append(c)
        elif c in pairs and (not stack or stack.pop() != pairs[c]):
            return False
    return not stack

for text in ("([]{})", "([)]", "((", ""):
    print(f"{text!r}: {balanced(text)}")

# expect:
# '([]{})': True
# '([)]': False
# '((': False
# '': True
