"""Which lines of standard error are lines of a log, and what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.pure.log_lines import (
    MAX_BYTES,
    MAX_LINES,
    LogLevel,
    LogLine,
    LogReader,
    parse_log_line,
)

AT = datetime(2026, 11, 30, 10, 15, 30, 250_000, tzinfo=UTC)
SECONDS = 1_796_033_730.25


def line(
    message: str = "hello", level: LogLevel = LogLevel.INFO, at: datetime | None = AT, **rest: Any
) -> LogLine:
    return LogLine(at=at, level=level, message=message, metadata=rest)


# As each library writes it by default.
WRITTEN: dict[str, tuple[dict[str, Any], LogLine]] = {
    "structlog": (
        {"user": "ada", "event": "hello", "level": "info", "timestamp": "2026-11-30T10:15:30.25Z"},
        line(user="ada"),
    ),
    "pino": (
        {"level": 30, "time": 1796033730250, "pid": 7, "hostname": "box", "msg": "hello"},
        line(pid=7, hostname="box"),
    ),
    "zap": (
        {"level": "warn", "ts": SECONDS, "caller": "main.go:7", "msg": "hello"},
        line(level=LogLevel.WARN, caller="main.go:7"),
    ),
    "slog": (
        {"time": "2026-11-30T11:15:30.25+01:00", "level": "ERROR", "msg": "hello", "n": 1},
        line(level=LogLevel.ERROR, n=1),
    ),
    "slog between its levels": (
        {"time": "2026-11-30T10:15:30.25Z", "level": "DEBUG+2", "msg": "hello"},
        line(level=LogLevel.DEBUG),
    ),
    "bunyan": (
        {"name": "app", "level": 50, "msg": "hello", "time": "2026-11-30T10:15:30.250Z", "v": 0},
        line(level=LogLevel.ERROR, name="app", v=0),
    ),
    "zerolog": (
        {"level": "fatal", "time": 1796033730, "message": "hello"},
        line(level=LogLevel.ERROR, at=AT.replace(microsecond=0)),
    ),
    "python-json-logger": (
        {"levelname": "CRITICAL", "message": "hello", "asctime": "2026-11-30 10:15:30,250"},
        line(level=LogLevel.ERROR),
    ),
    "a cloud's": (
        {"severity": "NOTICE", "message": "hello", "ts": 1796033730250000000},
        line(),
    ),
    "without a time": ({"level": "trace", "message": ""}, line("", LogLevel.DEBUG, None)),
    "with a time that is none": (
        {"level": "info", "msg": "hello", "time": "yesterday"},
        line(at=None, time="yesterday"),
    ),
    "event beside a message": (
        {"level": "info", "message": "hello", "event": "click", "ts": SECONDS},
        line(event="click"),
    ),
    "what PostgreSQL cannot hold": (
        {"level": "info", "msg": "a\x00b", "ts": SECONDS, "\x00": "\ud800"},
        line("a\ufffdb", **{"\ufffd": "\ufffd"}),
    ),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_lines_of_every_library_are_read(what: str) -> None:
    written, want = WRITTEN[what]
    assert parse_log_line(json.dumps(written).encode() + b"\r\n") == want


OUTPUT: dict[str, bytes] = {
    "nothing": b"",
    "text": b"hello",
    "a traceback's end": b"ValueError: {'level': 'info'}",
    "half an object": b'{"level": "info", "message": "a"',
    "two objects": b'{"level": "info", "message": "a"} {}',
    "a list": b'[{"level": "info", "message": "a"}]',
    "no level": b'{"message": "a"}',
    "no message": b'{"level": "info"}',
    "a level nobody knows": b'{"level": "loud", "message": "a"}',
    "a level that is none": b'{"level": true, "message": "a"}',
    "a message that is no text": b'{"level": "info", "message": {"a": 1}}',
    "no UTF-8": b'{"level": "info", "message": "\xff"}',
    "30,000 levels": b'{"level": "info", "message": "a", "x": '
    + b"[" * 30_000
    + b"]" * 30_000
    + b"}",
    "a number of 5,000 digits": b'{"level": "info", "message": "a", "x": ' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("what", OUTPUT)
def test_other_lines_stay_output(what: str) -> None:
    assert parse_log_line(OUTPUT[what]) is None


def read(*chunks: bytes) -> LogReader:
    reader = LogReader()
    for chunk in chunks:
        reader.feed(chunk)
    reader.finish()
    return reader


LINE = b'{"level": "info", "message": "hello"}'
ANY_LINE = st.one_of(
    st.just(LINE),
    st.binary(max_size=40),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(
        lambda value: json.dumps({"level": "warn", "msg": "x", "time": value, "y": value}).encode()
    ),
)


@pytest.mark.slow
@given(st.lists(ANY_LINE, max_size=6), st.integers(min_value=1, max_value=64))
def test_lines_are_the_same_however_they_are_cut_and_can_all_be_stored(
    written: list[bytes], size: int
) -> None:
    raw = b"\n".join(written)
    whole = read(raw)
    cut = read(*(raw[start : start + size] for start in range(0, len(raw), size)))
    assert cut.lines == whole.lines
    assert list(whole.lines) == [
        found for one in raw.split(b"\n") if (found := parse_log_line(one)) is not None
    ]
    for one in whole.lines:
        assert b"\\u0000" not in orjson.dumps([one.message, one.metadata])
        assert one.at is None or one.at.utcoffset() == timedelta(0)


def test_so_many_lines_are_kept_and_the_rest_counted() -> None:
    reader = read(b"output\n" + (LINE + b"\n") * (MAX_LINES + 7) + b"output\n")
    assert (len(reader.lines), reader.omitted) == (MAX_LINES, 7)


def test_so_many_bytes_are_kept_and_after_the_first_left_out_nothing() -> None:
    long = json.dumps({"level": "info", "message": "x" * 60_000}).encode() + b"\n"
    reader = read(long * 6 + LINE)
    assert (len(reader.lines), reader.omitted) == (MAX_BYTES // len(long), 3)


def test_line_too_long_is_output_and_the_next_one_is_read() -> None:
    long = json.dumps({"level": "info", "message": "x" * 1_000_000}).encode() + b"\n"
    reader = read(*(long[start : start + 65_536] for start in range(0, len(long), 65_536)), LINE)
    assert (len(reader.lines), reader.omitted) == (1, 0)
