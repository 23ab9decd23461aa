"""Events (events.k8s.io/v1) on our objects, posted in the background.

An Event helps a person who runs `kubectl describe`; nothing depends on it. So posting
never delays or fails a pass: a bounded queue, one sender, the overflow is counted.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol

from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import EVENTS
from soulbox.model.errors import KubeExists, KubeRefused, SoulBoxError
from soulbox.model.keys import API_VERSION
from soulbox.model.states import Kind
from soulbox.model.times import format_time

# The API server's limit on `note` (k8s.io/api/events/v1: 1 kB).
_MAX_NOTE: Final = 1000
_CAPACITY: Final = 10_000
# The same words about the same object are not repeated while they are remembered.
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
        self.dropped = 0

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
            self.dropped += 1

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
                "apiVersion": API_VERSION,
                "kind": kind.value,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "note": event.message.encode("utf-8", "replace")[:_MAX_NOTE].decode("utf-8", "ignore"),
            "type": event.type,
        }

    async def run(self) -> None:
        """Send until cancelled. A refused Event (its namespace is going) is dropped."""
        while True:
            namespace, manifest = await self._queue.get()
            try:
                await self._kube.create(EVENTS, manifest, namespace)
            except KubeExists:
                continue
            except KubeRefused as error:
                if "NamespaceTerminating" not in error.causes:  # nobody will read it there
                    self._on_error(error)
            except SoulBoxError as error:
                self._on_error(error)
