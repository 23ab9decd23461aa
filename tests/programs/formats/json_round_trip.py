import json
from datetime import date

data = {"name": "Ada", "tags": ["a", "ü"], "n": None, "ok": True, "x": 1.5, "nested": {"k": [1, {"z": 2}]}}
text = json.dumps(data, sort_keys=True, indent=2)
print(text)
print(json.loads(text) == data, json.dumps("ü"), json.dumps("ü", ensure_ascii=False))
print(json.dumps({"d": date(2026, 1, 2)}, default=str), json.dumps([1, 2], separators=(",", ":")))
try:
    json.loads('{"a": 1,}')
except json.JSONDecodeError as error:
    print(error.msg, error.pos)

# expect:
# {
#   "n": null,
#   "name": "Ada",
#   "nested": {
#     "k": [
#       1,
#       {
#         "z": 2
#       }
#     ]
#   },
#   "ok": true,
#   "tags": [
#     "a",
#     "\u00fc"
#   ],
#   "x": 1.5
# }
# True "\u00fc" "ü"
# {"d": "2026-01-02"} [1,2]
# Expecting property name enclosed in double quotes 8
