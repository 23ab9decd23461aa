"""Waiting between tries that fail: longer each time, up to a bound."""

from dataclasses import dataclass, field


def doubled_seconds(first_seconds: float, most_seconds: float, tries: int) -> float:
    """How long to wait after that many tries in a row that failed, from 1: doubled with each."""
    return min(most_seconds, first_seconds * 2.0 ** min(max(0, tries - 1), 32))


@dataclass(slots=True, kw_only=True)
class Backoff:
    """One loop's count of tries that failed in a row."""

    first_seconds: float
    most_seconds: float
    tries: int = field(default=0, init=False)

    def next_seconds(self) -> float:
        """One more failed: how long to wait before the next."""
        self.tries += 1
        return doubled_seconds(self.first_seconds, self.most_seconds, self.tries)

    def reset(self) -> None:
        """One succeeded."""
        self.tries = 0
