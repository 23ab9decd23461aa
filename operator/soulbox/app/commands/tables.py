"""Rows for people and for programs: aligned columns, JSON, CSV."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from soulbox.app.commands.terminal import clean

# Columns of the screen that a cell takes on a terminal; elsewhere nothing is cut.
_CELL: Final = 60
# What a value of the database is called, and must not be cut: it is pasted into the next query.
_PASTED: Final = ("uid", "sha256", "id", "cursor")


class RowFormat(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def format_rows(
    rows: Sequence[Mapping[str, Any]], form: RowFormat, *, for_terminal: bool | None = None
) -> str:
    """The rows as text that ends in a newline; no rows are an empty table, [] or nothing.

    Args:
        for_terminal: a table's long cells are cut, and one row is a list of its values; None
            looks whether stdout is one. A program finds every row in a line of its own.
    """
    match form:
        case RowFormat.JSON:
            return json.dumps([dict(row) for row in rows], default=_plain, indent=2) + "\n"
        case RowFormat.CSV:
            return _csv(rows)
        case RowFormat.TABLE:
            is_terminal = sys.stdout.isatty() if for_terminal is None else for_terminal
            return _table(rows, for_terminal=is_terminal)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows([_guarded(clean(_text(value))) for value in row.values()] for row in rows)
    return text.getvalue()


def _guarded(cell: str) -> str:
    """A spreadsheet would take such a cell, which may be a stranger's code, for a formula."""
    is_formula = cell.startswith(("=", "@", "\t", "\r")) or (
        cell.startswith(("+", "-")) and not _is_number(cell)
    )
    return f"'{cell}" if is_formula else cell


def _is_number(cell: str) -> bool:
    try:
        Decimal(cell)
    except ArithmeticError:
        return False
    return True


def _table(rows: Sequence[Mapping[str, Any]], *, for_terminal: bool) -> str:
    if not rows:
        return "no rows\n"
    if len(rows) == 1 and for_terminal:
        return _aligned([[name, _line(value)] for name, value in rows[0].items()])
    names = list(rows[0])
    if for_terminal:  # a column that is empty pushes others off the screen
        names = [name for name in names if any(_text(row[name]) for row in rows)]
    cells = [[name.upper() for name in names]]
    cells += [
        [_cell(name, row[name]) if for_terminal else _line(row[name]) for name in names]
        for row in rows
    ]
    return _aligned(cells)


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    """The cells in columns. rich knows how many of the screen a character takes: two of a Chinese
    one, none of an accent. Its Table takes a hundred times as long, see decision 0109."""
    widths = [[cell_len(cell) for cell in line] for line in cells]
    columns = [max(column) for column in zip(*widths, strict=True)]
    text = ""
    for line, taken in zip(cells, widths, strict=True):
        padded = (
            cell + " " * (column - width)
            for cell, width, column in zip(line, taken, columns, strict=True)
        )
        text += "  ".join(padded).rstrip() + "\n"
    return text


def _cell(name: str, value: Any) -> str:
    line = _line(value)
    if cell_len(line) <= _CELL or name.endswith(_PASTED):
        return line
    return set_cell_size(line, _CELL - 1) + "…"


def _line(value: Any) -> str:
    """One line without characters that move a terminal's cursor: output may be hostile."""
    return "".join(char if char.isprintable() else " " for char in _text(value))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping | list):
        return json.dumps(value, default=_plain)
    plain = _plain(value)
    return plain if isinstance(plain, str) else str(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        # Neither 0E-10 nor -0.00.
        return f"{value:f}" if value else f"{abs(value):f}"
    return str(value)
