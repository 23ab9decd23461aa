"""Fixtures of this folder: two tenants' rows, and logins of every kind."""

from __future__ import annotations

from tests.support.fix_access import as_app, as_reader_a, logins

__all__ = ["as_app", "as_reader_a", "logins"]
