"""The API server's clock, as seen through its Date headers.

Times in objects (creationTimestamp, a container's startedAt) are the cluster's; an
operator whose own clock is an hour wrong must not time anything out an hour early. So
`now` is the local monotonic clock plus an offset that the Date headers bound from both
sides: the header has whole seconds, so each reply says that server time was within
[date, date + 1 s) somewhere between sending and receiving. A few hundred replies narrow
that to milliseconds.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# The bounds are widened by this much at each reply, so that drift between the two clocks
# (a guess: below 100 ppm) never makes them cross by itself.
_WIDEN_SECONDS = 0.0005


class ServerClock:
    """Server time from monotonic time. Safe to call from one event loop only."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._low: float | None = None
        self._high: float | None = None

    def observe(self, date_header: str, sent: float, received: float) -> None:
        """Take one reply's Date header; `sent` and `received` are monotonic seconds."""
        try:
            date = parsedate_to_datetime(date_header).timestamp()
        except (TypeError, ValueError):
            return
        low, high = date - received, date + 1.0 - sent
        if self._low is None or self._high is None:
            self._low, self._high = low, high
            return
        low = max(low, self._low - _WIDEN_SECONDS)
        high = min(high, self._high + _WIDEN_SECONDS)
        if low > high:  # a clock stepped: start again from this reply
            low, high = date - received, date + 1.0 - sent
        self._low, self._high = low, high

    @property
    def skew_seconds(self) -> float:
        """The local wall clock minus server time; 0 while they cannot be told apart."""
        if self._low is None or self._high is None:
            return 0.0
        local = self._wall() - self._monotonic()
        if self._low <= local <= self._high:
            return 0.0
        return local - (self._low + self._high) / 2

    def now(self) -> datetime:
        """Server time, aware UTC. Before the first reply: the local wall clock."""
        return datetime.fromtimestamp(self._wall() - self.skew_seconds, tz=UTC)
