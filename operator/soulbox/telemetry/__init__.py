"""Metrics (all declared in families.py) and logging. No business rules."""
