"""Times as the API writes them."""

from datetime import UTC, datetime


def parse_time(text: str | None) -> datetime | None:
    """An RFC 3339 time as aware UTC; None for None, empty or malformed text."""
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if value.tzinfo is None else value.astimezone(UTC)


def format_time(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, the precision of our status times."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
