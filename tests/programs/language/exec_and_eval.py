space = {}
exec("def double(x):\n    return x * 2\nvalue = double(21)", space)
print(space["value"], eval("value + n", {}, {"value": 1, "n": 2}))
code = compile("sum(range(n))", "<made>", "eval")
print([eval(code, {"n": n}) for n in (3, 10)])
Made = type("Made", (), {"hello": lambda self: "hi", "x": 5})
print(Made().hello(), getattr(Made(), "y", "none"), vars(Made)["x"])

# expect:
# 42 3
# [3, 45]
# hi none 5
