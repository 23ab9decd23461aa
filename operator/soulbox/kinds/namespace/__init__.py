"""Namespaces: what lies in one that is being deleted."""
