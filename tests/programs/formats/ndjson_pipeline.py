import json

LINES = '{"t": 1, "level": "info"}\nnot json\n{"t": 2, "level": "error", "code": 7}\n\n{"t": 3, "level": "error"}\n'

def read(lines):
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError:
            print("line", number, "is not JSON")

errors = [entry for entry in read(LINES.splitlines()) if entry["level"] == "error"]
print(errors, sum(entry.get("code", 0) for entry in errors))

# expect:
# line 2 is not JSON
# [{'t': 2, 'level': 'error', 'code': 7}, {'t': 3, 'level': 'error'}] 7
