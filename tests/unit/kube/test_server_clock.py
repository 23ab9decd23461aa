"""The API server's clock out of its Date headers, whatever the local one says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kube.clock import ServerClock
from tests.support.fix_clock import NOW, FakeClock

HOUR = 3600.0


class World:
    """A server whose clock is right and an operator whose wall clock is off by `skew`."""

    def __init__(self, skew_seconds: float) -> None:
        self.monotonic = FakeClock(500.0)
        self.skew_seconds = skew_seconds
        self.clock = ServerClock(self.monotonic, self._wall)

    @property
    def server(self) -> datetime:
        return NOW + timedelta(seconds=self.monotonic.seconds - 500.0)

    def _wall(self) -> float:
        return self.server.timestamp() + self.skew_seconds

    def reply(self, there: float = 0.01, back: float = 0.01) -> None:
        """One call: its Date is the server's time, cut to whole seconds."""
        sent = self.monotonic.seconds
        self.monotonic.advance(there)
        date = format_datetime(self.server.replace(microsecond=0), usegmt=True)
        self.monotonic.advance(back)
        self.clock.observe(date, sent, self.monotonic.seconds)

    @property
    def error_seconds(self) -> float:
        return abs((self.clock.now() - self.server).total_seconds())


@given(st.floats(-10 * HOUR, 10 * HOUR), st.floats(0.0, 2.0), st.floats(0.0, 2.0))
def test_one_reply_brings_server_time_within_its_uncertainty(
    skew_seconds: float, there: float, back: float
) -> None:
    world = World(skew_seconds)
    world.reply(there, back)
    assert world.error_seconds <= 1.0 + there + back + 1e-3


@pytest.mark.parametrize("skew_seconds", [-HOUR, -3.0, 0.0, 3.0, HOUR])
def test_many_replies_narrow_it_down_to_milliseconds(skew_seconds: float) -> None:
    world = World(skew_seconds)
    for _ in range(300):
        world.monotonic.advance(0.0137)
        world.reply(0.001, 0.001)
    assert world.error_seconds < 0.03


def test_right_clock_is_left_alone() -> None:
    world = World(0.0)
    world.reply()
    assert world.clock.skew_seconds == 0.0
    assert world.clock.now() == world.server


def test_before_the_first_reply_it_is_the_local_clock() -> None:
    world = World(HOUR)
    assert world.clock.skew_seconds == 0.0
    assert world.clock.now() == world.server + timedelta(hours=1)


def test_skew_is_told_with_its_sign() -> None:
    ahead, behind = World(HOUR), World(-HOUR)
    for world in (ahead, behind):
        world.reply()
    assert ahead.clock.skew_seconds == pytest.approx(HOUR, abs=1.1)
    assert behind.clock.skew_seconds == pytest.approx(-HOUR, abs=1.1)


def test_clock_that_steps_is_followed_with_the_next_reply() -> None:
    world = World(0.0)
    for _ in range(50):
        world.reply()
    step = timedelta(minutes=10)
    sent = world.monotonic.seconds
    date = format_datetime((world.server + step).replace(microsecond=0), usegmt=True)
    world.clock.observe(date, sent, sent)
    assert abs(world.clock.now() - world.server - step) <= timedelta(seconds=1)


@pytest.mark.parametrize("header", ["", "soon", "Fri, 99 Jan 2026 03:04:05 GMT", "2026-01-02"])
def test_header_that_is_no_date_changes_nothing(header: str) -> None:
    world = World(HOUR)
    world.clock.observe(header, 0.0, 0.0)
    assert world.clock.skew_seconds == 0.0


def test_now_is_aware_utc() -> None:
    assert ServerClock().now().tzinfo is UTC
