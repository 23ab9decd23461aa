"""Rows as arrays, one a column: what the set-wise statements unnest."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def columns(rows: "Sequence[DataclassInstance]") -> dict[str, list[Any]]:
    """Arrays by column name, all as long as `rows`. JSON columns become JSON text.

    Args:
        rows: dataclasses of one type, at least one; a field is a column.
    """
    return {
        field.name: [_parameter(getattr(row, field.name)) for row in rows]
        for field in fields(rows[0])
    }


def _parameter(value: Any) -> Any:
    # Only JSON columns hold mappings; exact types first, for speed.
    if value is None or type(value) is str or type(value) is int:
        return value
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return value
