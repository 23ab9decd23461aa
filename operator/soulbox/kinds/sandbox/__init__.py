"""Sandboxes: what their versions concern."""
