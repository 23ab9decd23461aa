"""Which of the Executions that wait for one Sandbox comes next.

The higher priority goes first. Among equals users take turns: the k-th Execution of a user comes
after the (k-1)-th of every other user, and of two whose turn it is, the one goes whose user was
served longer ago. Then first come, first served. So a thousand Executions of one user delay
nobody else for longer than one run.

Kept in order as it changes: thousands may wait, and with each that is handed over the place of
each other one changes. Of one priority, the Executions of each user are a list by arrival, whose
k-th has the turn k + (those of the user that run): a user's next change moves them all. Those of
users who have a few are in one list of all of these, in order; of a user who has many the place is
counted.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

# creationTimestamp, which has whole seconds, and a growing count.
Arrival = tuple[str, int]
# (turn, when its user was served last, arrival, uid): the lowest is next.
_Key = tuple[int, int, Arrival, str]
# With more the list of all would change in as many places with each change of the user (a guess).
_FEW: Final = 8


@dataclass(slots=True)
class _Rank:
    """Those of one priority: by user and arrival; and in order, of users who have a few."""

    users: dict[str, list[tuple[Arrival, str]]] = field(default_factory=dict)
    few: list[_Key] = field(default_factory=list)
    many: set[str] = field(default_factory=set)
    count: int = 0


class Line:
    """Those that wait, and of those that run how many each user has.

    With n that wait, and b users with more than a few (b < n / 8), a change takes the time of log
    n, a look at the next one or at a place that of log n + b.
    """

    def __init__(self) -> None:
        self._ranks: dict[int, _Rank] = {}
        self._waiting: dict[str, tuple[int, str, Arrival]] = {}
        self._runs: dict[str, str] = {}
        self._running: Counter[str] = Counter()
        self._served: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting or self._runs)

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._runs)

    @property
    def has_served(self) -> bool:
        """Whether it remembers whose turn it was."""
        return bool(self._served)

    def waits(self, uid: str, user: str, priority: int, arrival: Arrival) -> None:
        """It waits, whatever it did before."""
        wanted = (priority, user, arrival)
        if self._waiting.get(uid) == wanted:
            return
        self.drop(uid)
        self._waiting[uid] = wanted
        rank = self._ranks.setdefault(priority, _Rank())
        with self._changing(rank, user):
            rank.count += 1
            insort(rank.users.setdefault(user, []), (arrival, uid))

    def runs(self, uid: str, user: str) -> None:
        """It runs, whatever it did before."""
        if self._runs.get(uid) == user:
            return
        self.drop(uid)
        with self._changing_user(user):
            self._runs[uid] = user
            self._running[user] += 1

    def drop(self, uid: str) -> None:
        """It neither waits nor runs."""
        user = self._runs.pop(uid, None)
        if user is not None:
            with self._changing_user(user):
                self._running[user] -= 1
                if not self._running[user]:
                    del self._running[user]
        known = self._waiting.pop(uid, None)
        if known is None:
            return
        priority, user, arrival = known
        rank = self._ranks[priority]
        with self._changing(rank, user):
            rank.count -= 1
            queue = rank.users[user]
            del queue[bisect_left(queue, (arrival, uid))]
        if not rank.count:
            del self._ranks[priority]

    def serve(self, user: str, number: int) -> None:
        """It was that user's turn, by a growing count; a user who was never served comes first."""
        with self._changing_user(user):
            self._served[user] = number

    def forget_turns(self) -> None:
        """Nobody was served."""
        for user in [*self._served]:
            with self._changing_user(user):
                del self._served[user]

    def place(self, uid: str) -> int | None:
        """Its place among those that wait, 1 is next; None: it is not one of them."""
        known = self._waiting.get(uid)
        if known is None:
            return None
        priority, user, arrival = known
        rank = self._ranks[priority]
        index = bisect_left(rank.users[user], (arrival, uid))
        key = self._key(rank, user, index)
        before = sum(other.count for number, other in self._ranks.items() if number > priority)
        before += bisect_left(rank.few, key)
        for name in rank.many:
            at = key[0] - self._running[name]  # of those of that user, which has the same turn
            size = len(rank.users[name])
            before += min(max(at, 0), size)
            before += 0 <= at < size and self._key(rank, name, at) < key
        return before + 1

    def first(self, most: int) -> list[str]:
        """Uids of those that are next, in order."""
        found: list[str] = []
        for priority in sorted(self._ranks, reverse=True):
            for uid in self._in_order(self._ranks[priority]):
                if len(found) >= most:
                    return found
                found.append(uid)
        return found

    def _in_order(self, rank: _Rank) -> Iterator[str]:
        heads = [(self._key(rank, user, 0), user, 0) for user in rank.many]
        heapify(heads)
        for key in rank.few:
            while heads and heads[0][0] < key:
                yield self._next(rank, heads)
            yield key[3]
        while heads:
            yield self._next(rank, heads)

    def _next(self, rank: _Rank, heads: list[tuple[_Key, str, int]]) -> str:
        key, user, index = heappop(heads)
        if index + 1 < len(rank.users[user]):
            heappush(heads, (self._key(rank, user, index + 1), user, index + 1))
        return key[3]

    def _key(self, rank: _Rank, user: str, index: int) -> _Key:
        arrival, uid = rank.users[user][index]
        return (self._running[user] + index, self._served.get(user, 0), arrival, uid)

    @contextmanager
    def _changing_user(self, user: str) -> Iterator[None]:
        """What all Executions of a user have in common changes."""
        ranks = [rank for rank in self._ranks.values() if user in rank.users]
        for rank in ranks:
            self._take_out(rank, user)
        yield
        for rank in ranks:
            self._put_in(rank, user)

    @contextmanager
    def _changing(self, rank: _Rank, user: str) -> Iterator[None]:
        """What a user has of one priority changes."""
        self._take_out(rank, user)
        yield
        self._put_in(rank, user)

    def _take_out(self, rank: _Rank, user: str) -> None:
        size = len(rank.users.get(user, ()))
        for index in range(size if size <= _FEW else 0):
            del rank.few[bisect_left(rank.few, self._key(rank, user, index))]

    def _put_in(self, rank: _Rank, user: str) -> None:
        size = len(rank.users[user])
        for index in range(size if size <= _FEW else 0):
            insort(rank.few, self._key(rank, user, index))
        if size > _FEW:
            rank.many.add(user)
        else:
            rank.many.discard(user)
        if not size:
            del rank.users[user]
