"""What CEL says, by its definition (https://github.com/google/cel-spec/blob/master/doc/langdef.md):
expression over `x`, and what it results in."""

from __future__ import annotations

from typing import Any

X: dict[str, Any] = {
    "n": 3, "f": 2.5, "s": "abc", "b": True, "z": None, "l": [1, 2, 3], "m": {"a": 1, "k v": 2},
    "o": [{"n": 1, "t": ["p"]}, {"n": 2, "t": []}],
}  # fmt: skip

RESULTS: dict[str, Any] = {
    "1 + 2 * 3": 7, "7 / 2": 3, "-7 / 2": -3, "7 % 3": 1, "-7 % 3": -1, "7.0 / 2.0": 3.5,
    "x.n + 1": 4, "x.f * 2.0": 5.0, "x.n > x.f": True, "x.n == 3.0": True, "-x.n": -3,
    "'a' + 'b'": "ab", "[1] + [2]": [1, 2], "x.s + '!'": "abc!", "'a' < 'b'": True,
    "true && x.b": True, "!x.b || x.n == 3": True, "false && x.none": False, "x.none || true": True,
    "x.b ? 'y' : 'n'": "y", "x.n in x.l": True, "'a' in x.m": True, "9 in x.l": False,
    "has(x.n)": True, "has(x.none)": False, "has(x.m.a)": True, "x.z == null": True,
    "x.m['k v']": 2, "x.l[0]": 1, "x['n']": 3, "size(x.l)": 3, "size(x.m)": 2, "size('💩é')": 2,
    "x.s.size()": 3, "x.s.startsWith('ab')": True, "x.s.endsWith('bc')": True,
    "x.s.contains('b')": True, "x.s.matches('^a.c$')": True, "x.s.matches('b')": True,
    "x.l.map(i, i * 2)": [2, 4, 6], "x.l.filter(i, i > 1)": [2, 3], "x.l.exists(i, i == 2)": True,
    "x.l.all(i, i > 1)": False, "x.l.exists_one(i, i > 2)": True, "x.o.map(i, i.n)": [1, 2],
    "x.l.map(i, i > 1, i * 10)": [20, 30], "x.o.filter(i, size(i.t) > 0).map(i, i.n)": [1],
    "x.m.exists(k, k == 'a')": True, "[].all(i, false)": True, "int('12')": 12, "int(2.9)": 2,
    "double('1.5')": 1.5, "double(1)": 1.0, "string(3)": "3", "string(true)": "true",
    "string(1.5)": "1.5", "type(1) == int": True, "type(x.s) == string": True,
    "uint(3) + 2u": 5, "dyn(1) == 1.0": True, "{'a': x.n, 'b': [x.f]}": {"a": 3, "b": [2.5]},
    "{1: 'a'}": {"1": "a"}, "[1, 'a', null, true]": [1, "a", None, True], "0x1F": 31,
    "'\\u00e9'": "é", "r'\\n'": "\\n", "'''a'b'''": "a'b", "1 // said\n + 1": 2,
    "timestamp('2026-11-30T12:00:00Z') > timestamp('2026-11-30T11:59:59Z')": True,
    "string(timestamp('2026-11-30T12:00:00Z'))": "2026-11-30T12:00:00Z",
    "timestamp('2026-11-30T12:00:00Z').getHours()": 12, "duration('90s') == duration('1.5m')": True,
    "string(duration('90s'))": "90s", "size(bytes('é'))": 2, "x": X,
}  # fmt: skip

# What fails when it is evaluated, and a part of what is said.
FAILURES: dict[str, str] = {
    "1 / 0": "divide by zero", "1 % 0": "modulus by zero",
    "x.none": 'Key not found in map : "none"',
    "x.l[9]": "index", "9223372036854775807 + 1": "overflow", "int('a')": "cannot convert",
    "x.s > 1": "No matching overloads", "x.n.foo": "when failed",
    "string(timestamp('x'))": "when failed",
    "x[x.s]": "Key not found in map : a value of ", "'a'.matches(x.s + '(')": ": a value of ",
    "int(1e30)": "range", "x.l.map(i, i.a)": "when failed", "x.z.a": "when failed",
}  # fmt: skip

# What does not compile, and a part of what is said.
REFUSALS: dict[str, str] = {
    "1 +": "Syntax error", "y": "undeclared reference", "1 + 'a'": "no matching overload",
    "1 == 1.0": "no matching overload", "true ? 1 : 'a'": "no matching overload",
    "x.l.map(1, 2)": "when is not valid CEL", "nope(x)": "undeclared reference",
    "'a'.lowerAscii()": "undeclared reference", "has(x)": "when is not valid CEL",
    "1; 2": "Syntax error", "x..a": "Syntax error", "\"a": "Syntax error",
    "timestamp(0)": "JSON cannot hold", "{1.5: 'a'}": "Unsupported map key type: DOUBLE",
    "{[1]: 'a'}": "Unsupported map key type",
}  # fmt: skip

# Expression, the type that is wanted, whether it can be had.
WANTED: list[tuple[str, str, bool]] = [
    ("x.n > 1", "bool", True), ("x.n", "bool", True), ("1", "bool", False), ("1", "int", True),
    ("1", "double", True), ("1.0", "int", False), ("'a'", "string", True), ("[1]", "list", True),
    ("{'a': 1}", "map", True), ("[1]", "map", False), ("null", "string", False),
    ("null", "dyn", True), ("x", "map", True), ("1u", "int", False),
]  # fmt: skip
