"""Metrics (all in FAMILIES of families.py) and logging. No business rules."""
