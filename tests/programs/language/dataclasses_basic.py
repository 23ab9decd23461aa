from dataclasses import asdict, astuple, dataclass, field, fields, replace

@dataclass(order=True)
class Version:
    major: int
    minor: int = 0
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self):
        if self.major < 0:
            raise ValueError("negative")

a, b = Version(1, 2), Version(1, 10)
a.notes.append("x")
print(a, a < b, max(a, b), asdict(a), astuple(replace(b, minor=3)), b.notes)
print([f.name for f in fields(Version)])
try:
    Version(-1)
except ValueError as error:
    print(error)

# expect:
# Version(major=1, minor=2) True Version(major=1, minor=10) {'major': 1, 'minor': 2, 'notes': ['x']} (1, 3, []) []
# ['major', 'minor', 'notes']
# negative
