"""The Function's own Sandboxes: made when calls want them, deleted when nothing does."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from soulbox.kinds.function.decide.scale import SeenBox, decide_scale
from soulbox.kinds.function.revisions import Revisions
from soulbox.kinds.function.sandboxes import (
    FunctionSandboxes,
    Refused,
    is_over,
    last_call_time,
    revision_of,
)
from soulbox.kube.resources import SANDBOXES
from soulbox.model.errors import KubeExists, KubeRefused
from soulbox.model.functions import Revision, Scale, Serving
from soulbox.model.keys import (
    API_VERSION,
    FUNCTION_LABEL,
    FUNCTION_UID_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    REVISION_ANNOTATION,
)
from soulbox.model.manifests import Manifest, function_ref, is_deleting, reference_to
from soulbox.model.marks import is_dispatched
from soulbox.model.quantity import format_bytes, format_millicores
from soulbox.model.states import Kind
from soulbox.reconcile.services import Services
from soulbox.reconcile.writes import is_quota

# Names are looked for up to this many Sandboxes of a version, those that are going included.
_MOST_NAMES: Final = 10_000
# For the middle of a sentence about what was refused.
BOX_OF_CALLS: Final = "a Sandbox that its calls need"


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of it.

    Attributes:
        refused: what the API server refused, None nothing.
        look_again_seconds: when the next of them begins to drain, None: that is not known.
    """

    refused: KubeRefused | None
    look_again_seconds: float | None


@dataclass(slots=True)
class _Waiting:
    """Calls of one version that wait."""

    count: int = 0
    timeout_seconds: int = 0  # the longest that one asks for by itself

    def add(self, call: Manifest) -> None:
        asked = (call.get("spec") or {}).get("timeoutSeconds")
        self.count += 1
        self.timeout_seconds = max(self.timeout_seconds, asked if isinstance(asked, int) else 0)


class WaitingCalls(Protocol):
    """Executions that call Functions."""

    def call_queues(self, namespace: str, function_name: str) -> list[tuple[str, str]]:
        """Queues in which its calls wait, or run."""
        ...

    def unfinished(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """Unfinished Executions of a queue, or a Sandbox."""
        ...


class FunctionBoxes:
    """For one event loop."""

    def __init__(
        self,
        services: Services,
        sandboxes: FunctionSandboxes,
        executions: WaitingCalls,
        claimed: Callable[[tuple[str, str]], int],
        revisions: Revisions,
    ) -> None:
        """Args:
        claimed: how many calls are being handed to the Sandbox of that namespace and name in this
            moment.
        """
        self._services = services
        self._sandboxes = sandboxes
        self._executions = executions
        self._claimed = claimed
        self._revisions = revisions

    def ready(self, function_uid: str, namespace: str) -> int:
        """How many Sandboxes of that Function run, of all its versions."""
        return sum(map(self._sandboxes.runs, self._sandboxes.of(function_uid, namespace)))

    async def keep(
        self, manifest: Manifest, serving: Serving, versions: Mapping[str, str], current: str
    ) -> Kept:
        """Make and delete Sandboxes.

        Args:
            versions: that can be called: the name of its revision, by version.
            current: the current one; "": there is none.
        """
        metadata = manifest["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        scale, now = serving.scale, self._services.clock.now()
        found = self._sandboxes.of(uid, namespace)
        enough = scale.max * scale.concurrency + sum(_concurrency(one) or 1 for one in found)
        waiting = self._waiting(namespace, name, versions, current, enough)
        timeouts = await self._timeouts(namespace, {*versions.values()}, found, waiting)
        boxes = [self._box(one, timeouts.get(revision_of(one), 0), now) for one in found]
        scaling = decide_scale(
            boxes,
            {} if scale.max == 0 else {name: one.count for name, one in waiting.items()},
            scale,
            current=versions.get(current),
            suspended=serving.suspend,
        )
        self._sandboxes.drain(uid, (box.uid for box in scaling.draining))
        for box in scaling.delete:
            self._sandboxes.going(box.uid)
        for box in scaling.delete:
            await self._services.kube.delete(SANDBOXES, box.name, namespace, uid=box.uid)
        refused = await self._create(manifest, serving, boxes, scaling.create)
        self._tell(uid, refused)
        return Kept(refused, _seconds_to_drain(found, timeouts, now))

    def failing(self, function_uid: str, message: str, seconds: float) -> None:
        """Passes over the Function fail since so many seconds: its calls get no Sandbox."""
        since = self._services.clock.now().timestamp() - seconds
        self._sandboxes.refuse(
            function_uid, Refused(is_quota=False, message=message, since_seconds=since)
        )

    def forget(self, function_uid: str) -> None:
        """The Function is gone."""
        self._sandboxes.forget(function_uid)

    async def _create(
        self,
        manifest: Manifest,
        serving: Serving,
        boxes: list[SeenBox],
        create: Mapping[str, int],
    ) -> KubeRefused | None:
        """Make Sandboxes, so many of each revision; what the API server refuses of it."""
        namespace = manifest["metadata"]["namespace"]
        taken = {box.name for box in boxes}
        for revision_name, count in create.items():
            revision = await self._revisions.read(namespace, revision_name)
            if revision is None:
                continue
            lasting = self._lasting(boxes, revision_name)
            for number in range(count):
                idles = lasting + number >= serving.scale.min
                box_name = self._free_name(namespace, revision_name, taken)
                taken.add(box_name)
                sandbox = build_sandbox(manifest, revision, serving, box_name, idles=idles)
                try:
                    made = await self._services.kube.create(SANDBOXES, sandbox, namespace)
                except KubeExists:
                    continue  # of a moment ago: the watch brings it, and the next look
                except KubeRefused as error:
                    return error
                self._services.saw(Kind.SANDBOX, made)
        return None

    def _tell(self, function_uid: str, refused: KubeRefused | None) -> None:
        """Let the calls know why they get no Sandbox."""
        if refused is None:
            self._sandboxes.refuse(function_uid, None)
            return
        self._sandboxes.refuse(
            function_uid,
            Refused(
                is_quota=is_quota(refused),
                message=f"The API server refused {BOX_OF_CALLS}: {refused.message}",
                since_seconds=self._services.clock.now().timestamp(),
            ),
        )

    async def _timeouts(
        self,
        namespace: str,
        revisions: set[str],
        found: list[Manifest],
        waiting: Mapping[str, _Waiting],
    ) -> dict[str, int]:
        """The longest that a call of each revision may run, of those that have Sandboxes: its own
        timeoutSeconds, and that of a call that waits."""
        timeouts: dict[str, int] = {}
        for name in sorted({revision_of(sandbox) for sandbox in found} & revisions):
            revision = await self._revisions.read(namespace, name)
            own = 0 if revision is None else revision.spec.timeout_seconds
            calls = waiting[name].timeout_seconds if name in waiting else 0
            timeouts[name] = max(own, calls)
        return timeouts

    def _free_name(self, namespace: str, revision: str, taken: set[str]) -> str:
        """One that neither the Function nor a person has given."""
        return next(
            name
            for name in (f"{revision}-{number}" for number in range(1, _MOST_NAMES))
            if name not in taken
            and self._services.cache.by_name(Kind.SANDBOX, namespace, name) is None
        )

    def _waiting(
        self, namespace: str, name: str, versions: Mapping[str, str], current: str, enough: int
    ) -> dict[str, _Waiting]:
        """Calls that wait, by the revision that they want, counted up to `enough` of each queue:
        more calls want no more Sandboxes."""
        found: dict[str, _Waiting] = {}
        for queue in self._executions.call_queues(namespace, name):
            for execution in self._executions.unfinished(*queue):
                called = function_ref(execution)
                if called is None or is_dispatched(execution) or is_deleting(execution):
                    continue
                revision = versions.get(called[1] or current)
                if revision is not None:
                    waiting = found.setdefault(revision, _Waiting())
                    waiting.add(execution)
                    if waiting.count >= enough:
                        break
        return found

    def _box(self, sandbox: Manifest, timeout_seconds: int, now: datetime) -> SeenBox:
        metadata = sandbox["metadata"]
        name = (metadata["namespace"], metadata["name"])
        running = sum(map(is_dispatched, self._executions.unfinished(*name)))
        return SeenBox(
            uid=metadata["uid"],
            name=metadata["name"],
            revision=revision_of(sandbox),
            over=is_over(sandbox),
            deleting=is_deleting(sandbox),
            takes=self._sandboxes.takes_calls(sandbox, timeout_seconds, now),
            running=running + self._claimed(name),
            concurrency=_concurrency(sandbox),
            idles="idleTimeoutSeconds" in (sandbox.get("spec") or {}),
        )

    @staticmethod
    def _lasting(boxes: list[SeenBox], revision: str) -> int:
        return sum(box.takes and not box.idles and box.revision == revision for box in boxes)


def _seconds_to_drain(
    found: list[Manifest], timeouts: Mapping[str, int], now: datetime
) -> float | None:
    """Until the next of them takes no more calls, for its lifetime; None: none will."""
    times = [last_call_time(sandbox, timeouts.get(revision_of(sandbox), 0)) for sandbox in found]
    left = [(time - now).total_seconds() for time in times if time is not None and time > now]
    return min(left, default=None)


def _concurrency(sandbox: Manifest) -> int | None:
    asked = (sandbox.get("spec") or {}).get("maxConcurrentExecutions")
    return asked if isinstance(asked, int) else None


def build_sandbox(
    function: Manifest, revision: Revision, serving: Serving, name: str, *, idles: bool
) -> dict[str, Any]:
    """One of a Function's Sandboxes, for calls of that version.

    Args:
        serving: of the Function as it is now: its scale, and who pays.
        idles: it ends when nothing has called it for `scale.idleSeconds`.
    """
    metadata = function["metadata"]
    published, scale = revision.spec, serving.scale
    asked: dict[str, Any] = {
        "className": published.class_name,
        "maxConcurrentExecutions": scale.concurrency,
        "network": published.network,
    }
    resources = {
        key: text
        for key, text in (
            ("cpu", _or_none(published.resources.cpu_millicores, format_millicores)),
            ("memory", _or_none(published.resources.memory_bytes, format_bytes)),
            ("disk", _or_none(published.resources.disk_bytes, format_bytes)),
        )
        if text is not None
    }
    if resources:
        asked["resources"] = resources
    if idles:
        asked["idleTimeoutSeconds"] = _idle_seconds(scale)
    if serving.user is not None:
        asked["user"] = serving.user
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.SANDBOX.value,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {
                MANAGED_BY_LABEL: MANAGED_BY,
                FUNCTION_LABEL: metadata["name"],
                FUNCTION_UID_LABEL: metadata["uid"],
            },
            "annotations": {REVISION_ANNOTATION: revision.name},
            "ownerReferences": [reference_to(Kind.FUNCTION, metadata["name"], metadata["uid"])],
        },
        "spec": asked,
    }


def _or_none(amount: int | None, write: Callable[[int], str]) -> str | None:
    return None if amount is None else write(amount)


def _idle_seconds(scale: Scale) -> int:
    return max(1, scale.idle_seconds)
