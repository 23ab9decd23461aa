"""Observe, decide, apply: a module for each kind, and what they share.

Does I/O through `kube`, `box` and the mirror; every rule of what to do next is in
`decide`. A pass reads the newest objects, never an event, and may run twice.
"""
