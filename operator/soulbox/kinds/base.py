"""What a kind may give the operator, each a small protocol of its own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from soulbox.model.states import Kind

Manifest = Mapping[str, Any]
# Unfinished Executions that name a Sandbox, first come first; by its namespace and name.
Unfinished = Callable[[str, str], Iterator[Manifest]]

# Counters on an object are written at most this often: they may change many times a second.
COUNT_SECONDS: Final = 30.0


class Waker(Protocol):
    """The queue of keys to look at, as seen by the code that adds keys."""

    def add(self, kind: Kind, uid: str) -> None:
        """Look at the object soon."""
        ...

    def add_later(self, kind: Kind, uid: str, seconds: float) -> None:
        """Look at it in that many seconds, unless a sooner look is due."""
        ...


class Follower(Protocol):
    """What follows from the versions of one kind's objects."""

    def wake(self, manifest: Manifest) -> None:
        """Queue whatever this version may matter to."""
        ...

    def leaving(self, manifest: Manifest) -> Callable[[Manifest], None]:
        """Asked while the cache still knows the object that is gone: what to call once it does
        not, with the version that is recorded, to queue whatever that matters to."""
        ...

    def last_version(self, manifest: Manifest, *, was_known: bool) -> Manifest | None:
        """How an object that is gone is recorded; None: somebody records it later.

        Args:
            manifest: its last version.
            was_known: whether the cache had it; a deletion may be told twice.
        """
        ...
