"""Custom resources of group soulbox.dev, one module a kind.

Each model is both the source of the CRD (`schema/generate.py`) and the first gate for a
stored object (`schema/parse.py`). Rules that JSON Schema can say stand on the field;
what it cannot is CEL here and the same rule in Python in `parse.py`, because an object
stored under an older CRD never met the CEL.
"""
