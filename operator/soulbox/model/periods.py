"""Billing periods: calendar months of UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from soulbox.model.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A month.

    Attributes:
        starts_at: its first moment (inclusive).
        ends_at: the first moment of the next (exclusive).
    """

    starts_at: datetime
    ends_at: datetime

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m}"


def parse_period(text: str) -> Period:
    """A month written as 2026-11.

    Raises:
        InvalidRequest: it is none.
    """
    found = re.fullmatch(r"(2[01][0-9]{2})-(0[1-9]|1[0-2])", text)
    if found is None:
        raise InvalidRequest("period", f"{text[:32]!r} is not a month", "write it as 2026-11")
    year, month = int(found[1]), int(found[2])
    return Period(
        starts_at=datetime(year, month, 1, tzinfo=UTC),
        ends_at=datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC),
    )
