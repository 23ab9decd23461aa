import tomllib

data = tomllib.loads("""
title = "box"
[limits]
cpu = 0.5
tags = ["a", "b"]
born = 1979-05-27T07:32:00Z
[[step]]
name = "one"
[[step]]
name = "two"
""")
print(data["limits"]["cpu"], data["limits"]["born"].isoformat(), [s["name"] for s in data["step"]])
try:
    tomllib.loads("a = ")
except tomllib.TOMLDecodeError as error:
    print(error)

# expect:
# 0.5 1979-05-27T07:32:00+00:00 ['one', 'two']
# Invalid value (at end of document)
