"""Client of the runner in each sandbox pod: signed calls, replies as hostile input.

Belongs here: HTTP to pods, and the signing key. Does not belong here: what to run, when,
and what a result means.
"""
