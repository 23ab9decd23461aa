"""Times as the API writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.times import format_time, parse_time

MOMENTS = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2199, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)


@given(MOMENTS)
def test_time_comes_back_to_the_millisecond(moment: datetime) -> None:
    back = parse_time(format_time(moment))
    assert back is not None
    assert back.utcoffset() == timedelta(0)
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


@given(st.text())
def test_arbitrary_text_is_a_time_or_none_and_never_an_error(text: str) -> None:
    found = parse_time(text)
    assert found is None or found.utcoffset() == timedelta(0)


TIMES = {
    None: None,
    "": None,
    "soon": None,
    "2026-01-02": None,
    "2026-01-02T03:04:05": None,  # naive: whose time is it?
    "2026-13-02T03:04:05Z": None,
    "2026-01-02T03:04:05Z": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "2026-01-02T03:04:05.123456Z": datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC),
    "2026-01-02T05:04:05+02:00": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
}


@pytest.mark.parametrize("text", TIMES)
def test_times_that_the_api_server_writes(text: str | None) -> None:
    assert parse_time(text) == TIMES[text]
