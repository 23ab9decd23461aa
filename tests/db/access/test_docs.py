"""What docs/sql.md and docs/usage.md show works for a login of one tenant too."""

from __future__ import annotations

import psycopg

from tests.db.test_docs_sql import ROOT, statements


def test_examples_run_for_a_tenants_login(as_reader_a: psycopg.Connection) -> None:
    for page in ("docs/sql.md", "docs/usage.md"):
        for statement in statements(ROOT / page):
            text = statement.replace("team-a", "tenant-team-a")
            assert as_reader_a.execute(text.encode()).description, statement
