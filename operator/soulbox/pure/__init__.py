"""Decisions and sums that no kind owns: pure functions of what was seen."""
