from dataclasses import dataclass

@dataclass
class Circle:
    radius: float

def describe(value):
    match value:
        case 0 | None:
            return "nothing"
        case int(n) if n < 0:
            return f"negative {n}"
        case str() as text:
            return f"text of {len(text)}"
        case [first, *rest]:
            return f"{first} and {len(rest)} more"
        case {"type": "user", "name": name, **others}:
            return f"user {name} with {sorted(others)}"
        case Circle(radius=r):
            return f"circle {r}"
        case _:
            return "something"

for value in (0, -5, "abc", [1, 2, 3], {"type": "user", "name": "ann", "age": 3}, Circle(2.0), 1.5):
    print(describe(value))

# expect:
# nothing
# negative -5
# text of 3
# 1 and 2 more
# user ann with ['age']
# circle 2.0
# something
