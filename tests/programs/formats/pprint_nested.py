from pprint import pformat, pprint

data = {"servers": [{"host": f"node-{n}", "ports": list(range(8000, 8003))} for n in range(3)], "on": True}
pprint(data, width=60, sort_dicts=False)
print(pformat({"a": {"b": {"c": 1}}}, depth=2))

# expect:
# {'servers': [{'host': 'node-0',
#               'ports': [8000, 8001, 8002]},
#              {'host': 'node-1',
#               'ports': [8000, 8001, 8002]},
#              {'host': 'node-2',
#               'ports': [8000, 8001, 8002]}],
#  'on': True}
# {'a': {'b': {...}}}
