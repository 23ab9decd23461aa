"""What JSON Schema 2020-12 says of documents, keyword by keyword: schema, what matches it, what
does not. Written from the standard (https://json-schema.org/draft/2020-12), to notice when a new
version of the library judges otherwise."""

from __future__ import annotations

from typing import Any

Row = tuple[Any, list[Any], list[Any]]

TYPES: list[Row] = [
    ({"type": "null"}, [None], [0, "", False]),
    ({"type": "boolean"}, [True, False], [0, 1, "true"]),
    ({"type": "integer"}, [1, -3, 1.0, 1e3], [1.5, "1", True]),
    ({"type": "number"}, [1, 1.5, -1e-9], ["1", None, True]),
    ({"type": "string"}, ["", "a"], [1, None, ["a"]]),
    ({"type": "array"}, [[], [1]], [{}, "[]"]),
    ({"type": "object"}, [{}, {"a": 1}], [[], "{}"]),
    ({"type": ["integer", "null"]}, [1, None], ["1", 1.5]),
    ({"enum": [1, "a", None, {"b": [1]}]}, [1, 1.0, "a", None, {"b": [1]}], [2, "b", {"b": [2]}]),
    ({"const": {"a": 1, "b": 2}}, [{"b": 2, "a": 1}], [{"a": 1}, {"a": 1, "b": "2"}]),
    ({"const": False}, [False], [0, None]),
    (True, [None, 1, {}], []),
    ({}, [None, "x"], []),
    (False, [], [None, 1, {}]),
]

NUMBERS: list[Row] = [
    ({"minimum": 3}, [3, 4.5, "2"], [2, 2.999]),
    ({"maximum": 3}, [3, -1, [9]], [4, 3.001]),
    ({"exclusiveMinimum": 3}, [3.1, 4], [3, 2]),
    ({"exclusiveMaximum": 3}, [2.9, -3], [3, 4]),
    ({"multipleOf": 3}, [9, 0, -3, "a"], [4, 2.5]),
    ({"multipleOf": 0.5}, [1.5, 2], [1.2]),
    ({"multipleOf": 0.01}, [19.99, 0.07], [0.075]),
]

STRINGS: list[Row] = [
    ({"minLength": 2}, ["ab", "éé", 1], ["a", "💩"]),
    ({"maxLength": 2}, ["ab", "💩💩", []], ["abc"]),
    ({"pattern": "^a+$"}, ["a", "aaa", 1], ["", "b", "ba"]),
    ({"pattern": "b"}, ["abc"], ["ac"]),
    ({"pattern": "^\\p{Lu}"}, ["Ärger"], ["ärger"]),
    ({"pattern": "^\\d{4}-\\d{2}$"}, ["2026-11"], ["2026-1"]),
    ({"format": "date"}, ["2026-11-30", "tomorrow"], []),
    ({"format": "uri", "minLength": 3}, ["not a uri"], ["x"]),
    ({"contentEncoding": "base64"}, ["%"], []),
]

ARRAYS: list[Row] = [
    ({"minItems": 1}, [[1], "a"], [[]]),
    ({"maxItems": 1}, [[], [1]], [[1, 2]]),
    ({"uniqueItems": True}, [[1, "1", True], [[1], [2]]], [[1, 1.0], [{"a": 1}, {"a": 1}]]),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"items": {"type": "integer"}}, [[], [1, 2]], [[1, "2"]]),
    ({"items": False}, [[]], [[1]]),
    (
        {"prefixItems": [{"type": "string"}, {"type": "integer"}]},
        [["a", 1], ["a"], ["a", 1, None]],
        [[1], ["a", "b"]],
    ),
    ({"prefixItems": [True], "items": {"type": "string"}}, [[1], [1, "a"]], [[1, 2]]),
    ({"contains": {"const": 1}}, [[1], [2, 1]], [[], [2]]),
    ({"contains": {"const": 1}, "minContains": 2}, [[1, 1]], [[1], []]),
    ({"contains": {"const": 1}, "maxContains": 1}, [[1, 2]], [[1, 1], []]),
    ({"contains": {"const": 1}, "minContains": 0}, [[], [2]], []),
    ({"prefixItems": [True], "unevaluatedItems": False}, [[1]], [[1, 2]]),
    ({"allOf": [{"prefixItems": [True, True]}], "unevaluatedItems": False}, [[1, 2]], [[1, 2, 3]]),
    (
        {"contains": {"type": "string"}, "unevaluatedItems": {"type": "integer"}},
        [["a", 1]],
        [["a", None]],
    ),
]

OBJECTS: list[Row] = [
    ({"required": ["a", "b"]}, [{"a": 1, "b": None}, []], [{"a": 1}, {}]),
    ({"properties": {"a": {"type": "integer"}}}, [{"a": 1}, {}, {"b": "x"}], [{"a": "x"}]),
    ({"properties": {"a": False}}, [{}, {"b": 1}], [{"a": 1}]),
    ({"additionalProperties": False}, [{}], [{"a": 1}]),
    ({"properties": {"a": True}, "additionalProperties": False}, [{"a": 1}], [{"b": 1}]),
    (
        {"properties": {"a": True}, "additionalProperties": {"type": "string"}},
        [{"a": 1, "b": "x"}],
        [{"b": 1}],
    ),
    ({"patternProperties": {"^x-": {"type": "string"}}}, [{"x-a": "b"}, {"y": 1}], [{"x-a": 1}]),
    ({"patternProperties": {"^x-": True}, "additionalProperties": False}, [{"x-": 1}], [{"x": 1}]),
    ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}], [{"abc": 1}]),
    ({"minProperties": 1}, [{"a": 1}, []], [{}]),
    ({"maxProperties": 1}, [{}, {"a": 1}], [{"a": 1, "b": 1}]),
    ({"dependentRequired": {"a": ["b"]}}, [{"a": 1, "b": 1}, {"c": 1}], [{"a": 1}]),
    ({"dependentSchemas": {"a": {"minProperties": 2}}}, [{"a": 1, "b": 1}, {"b": 1}], [{"a": 1}]),
    ({"properties": {"__proto__": {"type": "string"}}}, [{"__proto__": "a"}], [{"__proto__": 1}]),
    (
        {"allOf": [{"properties": {"a": True}}], "unevaluatedProperties": False},
        [{"a": 1}],
        [{"b": 1}],
    ),
    (
        {
            "anyOf": [{"required": ["a"], "properties": {"a": True}}, {"properties": {"b": True}}],
            "unevaluatedProperties": False,
        },
        [{"a": 1}, {"a": 1, "b": 1}, {"b": 1}],
        [{"c": 1}],
    ),
    (
        {"properties": {"a": {"properties": {"b": {"type": "null"}}}}},
        [{"a": {"b": None}}],
        [{"a": {"b": 0}}],
    ),
]

LOGIC: list[Row] = [
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [2, "x"], [0, 4]),
    ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, ["a", 3], [2]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, [1, 3.5], [4, 1.5]),
    ({"not": {"type": "string"}}, [1, None], ["a"]),
    ({"not": {}}, [], [1, None]),
    (
        {"if": {"type": "integer"}, "then": {"minimum": 3}, "else": {"type": "string"}},
        [3, "a"],
        [2, None],
    ),
    ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, [{}, {"a": 1, "b": 1}], [{"a": 1}]),
    ({"then": {"minimum": 9}}, [1], []),
    ({"not": {"anyOf": [{"const": 1}, {"const": 2}]}}, [3], [1, 2]),
]

_TREE = {
    "$id": "https://example.com/tree",
    "$dynamicAnchor": "node",
    "type": "object",
    "properties": {"data": True, "children": {"type": "array", "items": {"$dynamicRef": "#node"}}},
}

REFERENCES: list[Row] = [
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, [1], ["x"]),
    ({"$ref": "#/$defs/a", "minimum": 3, "$defs": {"a": {"type": "integer"}}}, [3], [2, 3.5]),
    ({"$ref": "#x", "$defs": {"a": {"$anchor": "x", "type": "null"}}}, [None], [0]),
    ({"$defs": {"a~b/c": {"type": "null"}}, "$ref": "#/$defs/a~0b~1c"}, [None], [0]),
    ({"$defs": {"a%": {"type": "null"}}, "$ref": "#/$defs/a%25"}, [None], [0]),
    (
        {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
        [{"a": {"a": {}}}],
        [{"a": {"b": {}}}],
    ),
    (
        {
            "$id": "https://example.com/a",
            "properties": {"a": {"$ref": "b"}},
            "$defs": {"b": {"$id": "b", "type": "string"}},
        },
        [{"a": "x"}],
        [{"a": 1}],
    ),
    (
        {
            "$id": "urn:example:a",
            "$ref": "urn:example:b",
            "$defs": {"b": {"$id": "urn:example:b", "type": "string"}},
        },
        ["x"],
        [1],
    ),
    (_TREE, [{"children": [{"data": 1}, {"children": []}]}], [{"children": [{"children": 3}]}]),
    (
        {
            "$id": "https://example.com/strict",
            "$dynamicAnchor": "node",
            "$ref": "tree",
            "unevaluatedProperties": False,
            "$defs": {"tree": _TREE},
        },
        [{"children": [{"data": 1}]}],
        [{"children": [{"daat": 1}]}],
    ),
    ({"properties": {"$ref": {"type": "string"}}}, [{"$ref": "a"}], [{"$ref": 1}]),
    (
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        [{"type": "string"}, True],
        [{"type": 1}, 3],
    ),
    ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"}, ["a"], [1]),
    ({"$comment": "x", "title": "y", "default": 3, "examples": [1], "x-own": {}}, [1, "a"], []),
]

EVERY: dict[str, list[Row]] = {
    "types": TYPES, "numbers": NUMBERS, "strings": STRINGS, "arrays": ARRAYS,
    "objects": OBJECTS, "logic": LOGIC, "references": REFERENCES,
}  # fmt: skip
