"""Which of the Executions that wait for one Sandbox comes next.

The higher priority goes first. Among equals users take turns: the k-th Execution of a user comes
after the (k-1)-th of every other user, and of two whose turn it is, the one goes whose user was
served longer ago. Then first come, first served. So a thousand Executions of one user delay
nobody else for longer than one run.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An Execution that waits for its Sandbox."""

    uid: str
    user: str  # spec.user; "" where none is named, which is one user more
    priority: int


def order_queue(
    waiting: Iterable[Waiting], running: Mapping[str, int], served: Mapping[str, int]
) -> list[str]:
    """Uids in the order in which they will run, as of now.

    Args:
        waiting: first come first.
        running: how many of each user run there now.
        served: per user the number of the turn given last, a growing count; a user who is
            not in it was never served.
    """
    rounds: Counter[tuple[str, int]] = Counter()
    ranked = []
    for arrival, one in enumerate(waiting):
        turn = running.get(one.user, 0) + rounds[one.user, one.priority]
        rounds[one.user, one.priority] += 1
        ranked.append((-one.priority, turn, served.get(one.user, 0), arrival, one.uid))
    ranked.sort()
    return [uid for *_, uid in ranked]
