import re

text = "Write to ada@example.org, bob.smith+x@mail.example.co.uk or nobody@; not to @example."
print(re.findall(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", text))

# expect:
# ['ada@example.org', 'bob.smith+x@mail.example.co.uk']
