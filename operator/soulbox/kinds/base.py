"""What a kind may give the operator, and what the kinds share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, MutableMapping
from typing import Final, Protocol, TypeVar

from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind

# Unfinished Executions that name a Sandbox, first come first; by its namespace and name.
Unfinished = Callable[[str, str], Iterator[Manifest]]


class NamingExecutions(Protocol):
    """Executions by the Sandbox that they name, by its namespace and name."""

    def unfinished(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """Unfinished ones, first come first."""
        ...

    def naming(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """All of them, in no particular order."""
        ...


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


class Follower(ABC):
    """What follows from the versions of one kind's objects."""

    @abstractmethod
    def wake(self, manifest: Manifest) -> None:
        """Queue whatever this version may matter to."""

    def leaving(self, manifest: Manifest) -> Callable[[Manifest], None]:
        """Asked while the cache still knows the object that is gone: what to call once it does
        not, with the version that is recorded, to queue whatever that matters to."""
        del manifest
        return self.wake

    def last_version(self, manifest: Manifest, *, was_known: bool) -> Manifest | None:
        """How an object that is gone is recorded; None: somebody records it later.

        Args:
            manifest: its last version.
            was_known: whether the cache had it; a deletion may be told twice.
        """
        del was_known
        return manifest


class OwnFollower(Follower):
    """Of a kind whose versions concern the object itself, and what a subclass adds to that."""

    def __init__(self, kind: Kind, waker: Waker) -> None:
        self._kind = kind
        self._waker = waker

    def wake(self, manifest: Manifest) -> None:
        """Itself."""
        self._waker.add(self._kind, manifest["metadata"]["uid"])


_K = TypeVar("_K")
_V = TypeVar("_V")


def discard(index: MutableMapping[_K, set[_V]], key: _K, member: _V) -> None:
    """Take a member out of an index, and the key with its last one."""
    members = index.get(key)
    if members is not None:
        members.discard(member)
        if not members:
            del index[key]
