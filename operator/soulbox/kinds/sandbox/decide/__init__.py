"""Decisions about Sandboxes: pure."""
