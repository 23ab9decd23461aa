"""Decisions about Functions: pure."""
