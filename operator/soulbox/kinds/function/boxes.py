"""The Function's own Sandboxes: made when calls want them, deleted when nothing does."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from soulbox.kinds.function.decide.scale import SeenBox, decide_scale
from soulbox.kinds.function.revisions import Revisions
from soulbox.kinds.function.sandboxes import FunctionSandboxes, revision_of
from soulbox.kube.resources import SANDBOXES
from soulbox.model.errors import KubeExists, KubeRefused
from soulbox.model.functions import FunctionSpec, Revision, Scale
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
from soulbox.model.states import Kind, SandboxState
from soulbox.reconcile.services import Services

# Names are looked for up to this many Sandboxes of a version, those that are going included.
_MOST_NAMES: Final = 10_000


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

    async def keep(
        self, manifest: Manifest, spec: FunctionSpec, versions: Mapping[str, str], current: str
    ) -> KubeRefused | None:
        """Make and delete Sandboxes; what the API server refuses of it, None nothing.

        Args:
            versions: that can be called: the name of its revision, by version.
            current: the current one; "": there is none.
        """
        metadata = manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        boxes = [self._box(sandbox) for sandbox in self._sandboxes.of(metadata["uid"], namespace)]
        # More calls want no more Sandboxes.
        enough = spec.scale.max * spec.scale.concurrency + sum(
            box.concurrency or 1 for box in boxes
        )
        waiting = self._waiting(namespace, name, versions, current, enough)
        scaling = decide_scale(
            boxes,
            {} if spec.scale.max == 0 else waiting,
            spec.scale,
            current=versions.get(current),
            suspended=spec.suspend,
        )
        for box in scaling.delete:
            await self._services.kube.delete(SANDBOXES, box.name, namespace, uid=box.uid)
        taken = {box.name for box in boxes}
        for revision_name, count in scaling.create.items():
            revision = await self._revisions.read(namespace, revision_name)
            if revision is None:
                continue
            lasting = self._lasting(boxes, revision_name)
            for number in range(count):
                idles = lasting + number >= spec.scale.min
                box_name = self._free_name(namespace, revision_name, taken)
                taken.add(box_name)
                sandbox = build_sandbox(manifest, revision, spec, box_name, idles=idles)
                try:
                    made = await self._services.kube.create(SANDBOXES, sandbox, namespace)
                except KubeExists:
                    continue  # of a moment ago: the watch brings it, and the next look
                except KubeRefused as error:
                    return error
                self._services.saw(Kind.SANDBOX, made)
        return None

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
    ) -> dict[str, int]:
        """How many calls wait for each revision, counted up to `enough` of each queue."""
        found: dict[str, int] = {}
        for queue in self._executions.call_queues(namespace, name):
            for execution in self._executions.unfinished(*queue):
                called = function_ref(execution)
                if called is None or is_dispatched(execution) or is_deleting(execution):
                    continue
                revision = versions.get(called[1] or current)
                if revision is not None:
                    found[revision] = found.get(revision, 0) + 1
                    if found[revision] >= enough:
                        break
        return found

    def _box(self, sandbox: Manifest) -> SeenBox:
        metadata, status = sandbox["metadata"], sandbox.get("status") or {}
        name = (metadata["namespace"], metadata["name"])
        running = sum(map(is_dispatched, self._executions.unfinished(*name)))
        return SeenBox(
            uid=metadata["uid"],
            name=metadata["name"],
            revision=revision_of(sandbox),
            over=status.get("state") == SandboxState.TERMINATED,
            deleting=is_deleting(sandbox),
            running=running + self._claimed(name),
            concurrency=_concurrency(sandbox),
            idles="idleTimeoutSeconds" in (sandbox.get("spec") or {}),
        )

    @staticmethod
    def _lasting(boxes: list[SeenBox], revision: str) -> int:
        return sum(box.lives and not box.idles and box.revision == revision for box in boxes)


def _concurrency(sandbox: Manifest) -> int | None:
    asked = (sandbox.get("spec") or {}).get("maxConcurrentExecutions")
    return asked if isinstance(asked, int) else None


def build_sandbox(
    function: Manifest, revision: Revision, spec: FunctionSpec, name: str, *, idles: bool
) -> dict[str, Any]:
    """One of a Function's Sandboxes, for calls of that version.

    Args:
        spec: of the Function as it is now: its scale, and who pays.
        idles: it ends when nothing has called it for `scale.idleSeconds`.
    """
    metadata = function["metadata"]
    published, scale = revision.spec, spec.scale
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
    if spec.user is not None:
        asked["user"] = spec.user
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
