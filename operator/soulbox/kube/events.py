"""Events (events.k8s.io/v1) on our objects, posted in the background.

An Event helps people who run `kubectl describe`; nothing depends on it. So posting never delays or
fails a pass: a bounded queue, one sender, the overflow is counted.

An Event costs the API server as much as half of a short run's other writes (measured), and
says of a success what its status says. So Normal ones are posted at a bounded rate: a crowd's
come later, Warnings at once.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import EVENTS
from soulbox.model.errors import KubeExists, KubeNotFound, KubeRefused, SoulBoxError
from soulbox.model.keys import API_VERSION
from soulbox.model.states import Kind
from soulbox.model.text import printable
from soulbox.model.times import format_time

# The API server's limit on `note` (k8s.io/api/events/v1: 1 kB).
_MAX_NOTE: Final = 1000
_CAPACITY: Final = 10_000
# Normal Events: as many at once, then so many a second; and how many may be late. Guesses: a
# person reads fewer, and 5 a second take under 1 % of an API server's core.
_BURST: Final = 50
_PER_SECOND: Final = 5.0
_MAX_LATE: Final = 1_000
# The same text about the same object is not repeated while it is remembered.
_REMEMBERED: Final = 10_000


class Note(Protocol):
    """What an Event says (decide.actions.PostEvent is one)."""

    @property
    def type(self) -> Literal["Normal", "Warning"]:
        """How bad it is."""
        ...

    @property
    def reason(self) -> str:
        """Why, in PascalCase."""
        ...

    @property
    def message(self) -> str:
        """For people."""
        ...

    @property
    def action(self) -> str:
        """What the operator was doing, in PascalCase."""
        ...


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """A snapshot: Events that wait to be posted, and those dropped since the start."""

    waiting: int
    dropped: int


class EventRecorder:
    """Posts Events one after the other, each once."""

    def __init__(
        self,
        kube: KubeClient,
        clock: ServerClock,
        instance: str,
        *,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._instance = instance[:128]
        self._on_error = on_error
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(_CAPACITY)
        self._posted: OrderedDict[str, None] = OrderedDict()
        # Normal Events that wait for their turn.
        self._late: deque[tuple[str, dict[str, Any]]] = deque()
        self._allowance, self._counted_at = float(_BURST), 0.0
        self._dropped = 0

    def post(self, manifest: Mapping[str, Any], kind: Kind, event: Note) -> None:
        """Queue an Event on the object; the same one again does nothing."""
        metadata = manifest["metadata"]
        digest = hashlib.sha256(
            "\0".join((metadata["uid"], event.reason, event.message)).encode("utf-8", "replace")
        ).hexdigest()
        if digest in self._posted:
            return
        self._posted[digest] = None
        if len(self._posted) > _REMEMBERED:
            self._posted.popitem(last=False)
        try:
            self._queue.put_nowait(
                (metadata["namespace"], self._build(metadata, kind, event, digest))
            )
        except asyncio.QueueFull:
            self._dropped += 1

    def statistics(self) -> EventStatistics:
        """How full it is."""
        return EventStatistics(waiting=self._queue.qsize() + len(self._late), dropped=self._dropped)

    def _build(
        self, metadata: Mapping[str, Any], kind: Kind, event: Note, digest: str
    ) -> dict[str, Any]:
        # 253 characters for a name: a long object name leaves room for the digest.
        name = f"{metadata['name'][:200].rstrip('.-')}.{digest[:16]}"
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "eventTime": format_time(self._clock.now()).replace("Z", "000Z"),
            "reportingController": "soulbox.dev/operator",
            "reportingInstance": self._instance,
            "action": event.action,
            "reason": event.reason[:128],
            "regarding": {
                "apiVersion": "v1" if kind is Kind.POD else API_VERSION,
                "kind": kind.value,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "note": printable(event.message).encode()[:_MAX_NOTE].decode("utf-8", "ignore"),
            "type": event.type,
        }

    async def run(self) -> None:
        """Send until cancelled. A refused Event (its namespace is going) is dropped."""
        while True:
            namespace, manifest = await self._next()
            try:
                await self._kube.create(EVENTS, manifest, namespace)
            except (KubeExists, KubeNotFound):  # it is there; or its namespace is not, any more
                continue
            except KubeRefused as error:
                if "NamespaceTerminating" not in error.causes:  # nobody will read it there
                    self._on_error(error)
            except SoulBoxError as error:
                self._on_error(error)

    async def _next(self) -> tuple[str, dict[str, Any]]:
        """The next to send: a Warning at once, a Normal one when the rate allows it."""
        while True:
            wait = self._wait_seconds()
            if self._late and wait <= 0:
                self._allowance -= 1
                return self._late.popleft()
            try:
                async with asyncio.timeout(wait if self._late else None):
                    item = await self._queue.get()
            except TimeoutError:
                continue
            if item[1]["type"] != "Normal":
                return item
            if len(self._late) < _MAX_LATE:
                self._late.append(item)
            else:
                self._dropped += 1

    def _wait_seconds(self) -> float:
        """Until the next Normal Event may be sent; at most 0 when it may be now."""
        now = asyncio.get_running_loop().time()
        earned = (now - self._counted_at) * _PER_SECOND
        self._allowance = min(float(_BURST), self._allowance + earned)
        self._counted_at = now
        return (1.0 - self._allowance) / _PER_SECOND
