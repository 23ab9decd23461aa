"""Metrics (all declared in metrics.py), logging and the health state. No business rules."""
