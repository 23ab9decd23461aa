"""Times as the API writes them."""

from datetime import UTC, datetime
from typing import Final

from soulbox.model.errors import InvalidRequest

# Kubernetes is younger.
_FIRST_YEAR: Final = 2000


def parse_time(text: str | None) -> datetime | None:
    """An RFC 3339 time as aware UTC; None for None, empty or malformed text."""
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if value.tzinfo is None else value.astimezone(UTC)


def requested_time(name: str, text: str) -> datetime:
    """What a person wrote as a time; without a zone it is UTC, as the database tells all times.

    Raises:
        InvalidRequest: no time; names the option or parameter.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            name, f"{text[:64]!r} is not a time", "write it as 2026-11-25T10:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def if_real(value: datetime | None) -> datetime | None:
    """A container's time, None for one that is none: containerd says of a container which could
    not be started that it did in 1970 (containerd issue 9080, StartError)."""
    return None if value is None or value.year < _FIRST_YEAR else value


def format_time(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, the precision of our status times."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
