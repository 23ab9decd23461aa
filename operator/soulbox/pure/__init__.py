"""Decisions and sums that no kind owns: pure functions of what was seen.

No I/O, clock, randomness, environment or logger: everything comes in as arguments, so each rule is
tested by a table and by properties. The decisions of a kind, in `kinds/<kind>/decide`, are alike.
"""
