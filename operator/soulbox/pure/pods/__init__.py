"""Pods: as they should be, as they are, and what is recorded of them."""
