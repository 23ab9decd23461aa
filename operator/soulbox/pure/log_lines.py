"""Lines of a log in what a program wrote to standard error.

A line that is a JSON object with a level and a message is one: what structlog, pino, zap, slog,
bunyan, zerolog, logrus and python-json-logger write, under whichever of their names. All other
lines are output and no more. What hostile programs write costs a bounded time a line and a
bounded memory a run.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from soulbox.model.json_values import storable_json, storable_text

# Kept of a run; further lines are counted.
MAX_LINES: Final = 1_000
MAX_BYTES: Final = 256 * 1024
# A longer line is output: nothing of it would be kept.
_MAX_LINE_BYTES: Final = 64 * 1024
# The first of these that is there counts; names as these libraries write them.
_LEVELS: Final = ("level", "levelname", "severity", "log.level", "lvl")
_MESSAGES: Final = ("message", "msg", "event")
_TIMES: Final = ("timestamp", "time", "ts", "@timestamp", "at", "asctime")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)


class LogLevel(StrEnum):
    """How much a line matters."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


_NAMED: Final[Mapping[str, LogLevel]] = {
    **dict.fromkeys(("trace", "verbose", "silly", "fine", "debug"), LogLevel.DEBUG),
    **dict.fromkeys(("info", "information", "informational", "notice", "default"), LogLevel.INFO),
    **dict.fromkeys(("warn", "warning"), LogLevel.WARN),
    **dict.fromkeys(
        ("err", "error", "exception", "critical", "fatal", "dpanic", "panic", "alert", "emergency"),
        LogLevel.ERROR,
    ),
}
# slog names what lies between its levels: INFO+2.
_BETWEEN: Final = re.compile(r"([a-z]+)[+-][0-9]{1,4}")
# pino and bunyan: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal.
_NUMBERED: Final = ((50, LogLevel.ERROR), (40, LogLevel.WARN), (30, LogLevel.INFO))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a log.

    Attributes:
        at: when it was written, as the program says; None where it does not.
        metadata: its other members, as they can be stored.
    """

    at: datetime | None
    level: LogLevel
    message: str
    metadata: Mapping[str, Any]


class LogReader:
    """Takes standard error in chunks, cut anywhere.

    Attributes:
        omitted: lines of the log that were not kept.
    """

    def __init__(self) -> None:
        self.omitted = 0
        self._lines: list[LogLine] = []
        self._kept_bytes = 0
        self._rest = bytearray()
        # The line being read is over the limit already.
        self._is_skipping = False

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """What was kept, in order: all up to the first that there was no room for."""
        return tuple(self._lines)

    def feed(self, chunk: bytes) -> None:
        """Read on."""
        for piece, ends in _pieces(chunk):
            if not self._is_skipping:
                self._rest += piece
                if len(self._rest) > _MAX_LINE_BYTES:
                    self._is_skipping = True
                    self._rest.clear()
            if ends:
                self._end()

    def finish(self) -> None:
        """There is no more: the last line may lack its end."""
        self._end()

    def _end(self) -> None:
        raw, is_whole = bytes(self._rest), not self._is_skipping
        self._rest.clear()
        self._is_skipping = False
        line = parse_log_line(raw) if is_whole else None
        if line is None:
            return
        # None after the first that was left out: the log has one end, and no holes.
        if self.omitted or len(self._lines) == MAX_LINES or self._kept_bytes + len(raw) > MAX_BYTES:
            self.omitted += 1
            return
        self._lines.append(line)
        self._kept_bytes += len(raw)


def parse_log_line(raw: bytes) -> LogLine | None:
    """The line of a log that this is; None: it is output."""
    text = raw.strip()
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return None
    try:
        found = json.loads(text)
    # No JSON, no UTF-8, a number of 5,000 digits; or 100,000 levels.
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    level_name = next((name for name in _LEVELS if name in found), None)
    message_name = next((name for name in _MESSAGES if isinstance(found.get(name), str)), None)
    if level_name is None or message_name is None:
        return None
    level = _level(found.pop(level_name))
    if level is None:
        return None
    message = storable_text(found.pop(message_name))
    at = None
    time_name = next((name for name in _TIMES if name in found), None)
    if time_name is not None:
        at = _time(found[time_name])
        if at is not None:
            del found[time_name]
    metadata, _ = storable_json(found)
    return LogLine(at=at, level=level, message=message, metadata=metadata)


def _pieces(chunk: bytes) -> Iterator[tuple[bytes, bool]]:
    """Parts of a chunk, and whether a line ends after each."""
    start = 0
    while (end := chunk.find(b"\n", start)) >= 0:
        yield chunk[start:end], True
        start = end + 1
    yield chunk[start:], False


def _level(value: Any) -> LogLevel | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return next((level for at_least, level in _NUMBERED if value >= at_least), LogLevel.DEBUG)
    if not isinstance(value, str):
        return None
    name = value.strip().lower()
    between = _BETWEEN.fullmatch(name)
    return _NAMED.get(between[1] if between else name)


def _time(value: Any) -> datetime | None:
    """A time as text (ISO 8601; without a zone UTC) or since 1970, in whichever unit it makes
    sense in: seconds, or thousandths, millionths or billionths of them."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _since_1970(value)
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = datetime.fromisoformat(value.replace(",", "."))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if _FIRST <= found < _LAST else None


def _since_1970(number: int | float) -> datetime | None:
    if isinstance(number, float) and not math.isfinite(number):
        return None
    for per_second in (1, 1_000, 1_000_000, 1_000_000_000):
        try:
            found = _EPOCH + timedelta(seconds=number / per_second)
        except OverflowError:
            continue
        if _FIRST <= found < _LAST:
            return found
    return None
