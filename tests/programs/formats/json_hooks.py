import json
from dataclasses import asdict, dataclass

@dataclass
class Point:
    x: int
    y: int

class Encoder(json.JSONEncoder):
    def default(self, value):
        return {"__point__": True, **asdict(value)} if isinstance(value, Point) else super().default(value)

def decode(pairs):
    found = dict(pairs)
    return Point(found["x"], found["y"]) if found.pop("__point__", False) else found

text = json.dumps([Point(1, 2), {"a": Point(3, 4)}], cls=Encoder)
print(text)
print(json.loads(text, object_pairs_hook=decode))

# expect:
# [{"__point__": true, "x": 1, "y": 2}, {"a": {"__point__": true, "x": 3, "y": 4}}]
# [Point(x=1, y=2), {'a': Point(x=3, y=4)}]
