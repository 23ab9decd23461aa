"""Rows as tables and CSV."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

from soulbox.app.commands.tables import RowFormat, format_rows

LONG = "x" * 500
ROW = {"code_sha256": "a" * 64, "detail": {"b": [1, 2]}, "code": LONG}


def test_program_gets_a_line_a_row_with_nothing_cut() -> None:
    lines = format_rows([ROW], RowFormat.TABLE, for_terminal=False).splitlines()
    assert lines[0].split() == ["CODE_SHA256", "DETAIL", "CODE"]
    assert lines[1] == f'{"a" * 64}  {{"b": [1, 2]}}  {LONG}'
    assert len(lines) == 2


def test_terminal_gets_long_cells_cut_but_not_what_is_pasted() -> None:
    shown = format_rows([ROW, ROW], RowFormat.TABLE, for_terminal=True)
    assert "a" * 64 in shown
    assert LONG not in shown
    assert "…" in shown
    (first, *_) = format_rows([ROW], RowFormat.TABLE, for_terminal=True).splitlines()
    assert first.split() == ["code_sha256", "a" * 64]


def test_terminal_is_spared_columns_that_are_empty() -> None:
    rows = [{"name": "a", "deleted_at": None}, {"name": "b", "deleted_at": None}]
    assert "DELETED_AT" not in format_rows(rows, RowFormat.TABLE, for_terminal=True)
    assert "DELETED_AT" in format_rows(rows, RowFormat.TABLE, for_terminal=False)


def test_no_form_but_json_holds_control_characters() -> None:
    hostile = {"code": "=cmd()\x1b[2J\x07", "error": {"message": "\x9b5A"}, "two": "a\nb"}
    for form in (RowFormat.TABLE, RowFormat.CSV):
        for is_terminal in (True, False):
            shown = format_rows([hostile], form, for_terminal=is_terminal)
            assert not set("\x1b\x07\x9b") & set(shown)
    (row,) = csv.DictReader(io.StringIO(format_rows([hostile], RowFormat.CSV)))
    assert row["code"].startswith("'=cmd()")
    assert row["two"] == "a\nb"
    assert json.loads(format_rows([hostile], RowFormat.JSON))[0] == hostile


def test_no_cost_is_a_zero_in_every_form() -> None:
    rows = [{"cost": Decimal("0E-10"), "due": Decimal("-0.00"), "rate": Decimal("1E-10")}]
    assert json.loads(format_rows(rows, RowFormat.JSON)) == [
        {"cost": "0.0000000000", "due": "0.00", "rate": "0.0000000001"}
    ]
    assert format_rows(rows, RowFormat.CSV).splitlines()[1] == "0.0000000000,0.00,0.0000000001"


WIDE = [
    {"user": "王小明", "runs": 3},  # two columns of the screen each
    {"user": "rene\u0301", "runs": 12},  # the accent takes none
    {"user": "plain", "runs": 100},
]


def test_columns_are_aligned_on_the_screen_whatever_their_characters() -> None:
    for is_terminal in (True, False):
        lines = format_rows(WIDE, RowFormat.TABLE, for_terminal=is_terminal).splitlines()
        assert lines == ["USER    RUNS", "王小明  3", "rene\u0301    12", "plain   100"]
    code = {"code": "字" * 40}
    shown = format_rows([code, code], RowFormat.TABLE, for_terminal=True).splitlines()
    assert shown[1] == "字" * 29 + " …"
