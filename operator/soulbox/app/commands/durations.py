"""Durations as people write them: 90, 90s, 15m, 1h30m, 2d."""

import re
from typing import Any, Final

import typer

_WRITTEN: Final = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", re.ASCII
)


def parse_seconds(text: str) -> int:
    """Whole seconds.

    Raises:
        BadParameter: it is no duration, or none at all.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise typer.BadParameter(
            f"{text[:64]!r} is not a duration: write seconds, or 90s, 15m, 1h30m, 2d"
        )
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def parse_positive_seconds(text: str) -> int:
    """As `parse_seconds`, and at least one."""
    seconds = parse_seconds(text)
    if seconds < 1:
        raise typer.BadParameter(f"{text[:64]!r} is less than a second")
    return seconds


def duration(*names: str, help: str, or_zero: bool = False) -> Any:
    """An option that takes one."""
    parser = parse_seconds if or_zero else parse_positive_seconds
    return typer.Option(*names, help=help, metavar="DURATION", parser=parser)


def in_words(seconds: int) -> str:
    """A duration for people, as it may be written: 1h30m."""
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
