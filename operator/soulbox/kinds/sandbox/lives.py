"""How many pods of a Sandbox in a row lived shortly."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from soulbox.pure.pods.view import PodPhase, PodView, lived_shortly


@dataclass(slots=True, kw_only=True)
class ShortLives:
    """Of one Sandbox, since this operator began; an earlier one's are forgotten, which only
    makes the next pod come sooner."""

    in_a_row: int = 0
    last_incarnation: int = 0  # the newest that was counted
    last_end: datetime | None = None  # when that one had ended

    def count(self, pods: Iterable[PodView], now: datetime) -> int:
        """Take in pods, each once when it has ended; how many in a row lived shortly."""
        for pod in sorted(pods, key=lambda one: one.incarnation):
            if pod.phase is PodPhase.ENDED and pod.incarnation > self.last_incarnation:
                self.last_incarnation = pod.incarnation
                self.last_end = now
                self.in_a_row = self.in_a_row + 1 if lived_shortly(pod) else 0
        return self.in_a_row
