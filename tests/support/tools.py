"""Functions and their versions, written past the mirror."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from tests.support.make_mirrored import CLUSTER_UID

REGISTERED = datetime(2026, 11, 22, 10, tzinfo=UTC)


def add_version(connection: psycopg.Connection, function: UUID, **columns: Any) -> None:
    """A version of a Function: a tool, unless tool_id is None."""
    row: dict[str, Any] = {
        "version": "1.0.0",
        "cluster": CLUSTER_UID,
        "tenant": "tenant-team-a",
        "namespace": "team-a",
        "name": "resize",
        "registered_at": REGISTERED,
        "resource_version": 1,
    } | columns
    row.setdefault("tool_id", f"tool:{row['namespace']}/{row['name']}@{row['version']}")
    _insert(connection, "function_versions", {"function_uid": function, **row})


def add_function(connection: psycopg.Connection, **columns: Any) -> UUID:
    """A Function that is ready; its versions come before it or after."""
    row: dict[str, Any] = {
        "uid": uuid4(),
        "cluster": CLUSTER_UID,
        "tenant": "tenant-team-a",
        "namespace": "team-a",
        "name": "resize",
        "version": "1.0.0",
        "versions": ["1.0.0"],
        "state": "ready",
        "created_at": REGISTERED,
        "resource_version": 1,
    } | columns
    _insert(connection, "functions", row)
    uid: UUID = row["uid"]
    return uid


def add_tool(connection: psycopg.Connection, **columns: Any) -> UUID:
    """A Function with one version, its current one; columns of the version."""
    shared = {
        key: columns[key] for key in ("tenant", "namespace", "name", "version") if key in columns
    }
    versions = [columns.get("version", "1.0.0")]
    function = add_function(connection, **shared, versions=versions)
    add_version(connection, function, **columns)
    return function


def _insert(connection: psycopg.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    connection.execute(f"insert into soulbox.{table} ({names}) values ({values})".encode(), row)
