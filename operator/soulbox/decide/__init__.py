"""Pure decisions: (what was seen, now) -> what to do.

No I/O, clock, randomness, environment or logger: everything comes in as arguments, so
each rule is tested by a table and by properties. Writes nothing; `reconcile` acts.
"""
