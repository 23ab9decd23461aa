"""Which of a Function's Sandboxes has room for a call, and what keeps them from having any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from soulbox.kinds.execution.decide.seen import Callee, RunProblem
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.function.sandboxes import FunctionSandboxes, revision_of
from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.kinds.sandbox_class.decide.limits import concurrency
from soulbox.kinds.sandbox_class.lookup import find_class
from soulbox.model.errors import InvalidManifest
from soulbox.model.manifests import Manifest
from soulbox.model.marks import is_dispatched
from soulbox.model.states import ConditionType, ExecutionReason, Kind, SandboxReason, SandboxState
from soulbox.model.times import parse_time
from soulbox.pure.conditions import turned_at
from soulbox.reconcile.services import Services

# Reasons of a Sandbox that cannot be made or started as it is.
_TROUBLES: Final[Mapping[str, ExecutionReason]] = {
    SandboxReason.QUOTA_EXCEEDED: ExecutionReason.QUOTA_EXCEEDED,
    SandboxReason.IMAGE_PULL_FAILED: ExecutionReason.IMAGE_PULL_FAILED,
    SandboxReason.NETWORK_NOT_ENFORCED: ExecutionReason.NETWORK_NOT_ENFORCED,
    SandboxReason.NAME_CONFLICT: ExecutionReason.START_FAILED,
    SandboxReason.POD_REFUSED: ExecutionReason.START_FAILED,
    SandboxReason.NETWORK_POLICY_REFUSED: ExecutionReason.START_FAILED,
    SandboxReason.START_FAILED: ExecutionReason.START_FAILED,
    SandboxReason.RECONCILE_FAILED: ExecutionReason.START_FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the Sandboxes of a version have left at this moment, for one call.

    Attributes:
        sandbox: the one with most room; None: none has any.
        free: how many calls all of them could take.
        unready: one of those that there are, where none of them takes calls (yet).
        works: some take calls.
        drains: there are others of the Function, of another version or near their end.
    """

    sandbox: Manifest | None = None
    free: int = 0
    unready: Manifest | None = None
    works: bool = False
    drains: bool = False

    @property
    def place(self) -> str | None:
        """Name of the Sandbox that a call is handed to, or that says why it waits."""
        sandbox = self.sandbox or self.unready
        return None if sandbox is None else str(sandbox["metadata"]["name"])


class Rooms:
    """For one event loop; nothing here does I/O."""

    def __init__(self, services: Services, turns: Turns, sandboxes: FunctionSandboxes) -> None:
        self._services = services
        self._turns = turns
        self._sandboxes = sandboxes

    def room(self, callee: Callee, namespace: str, timeout_seconds: int) -> Room:
        """The Function's Sandboxes that take a call, which may run so long."""
        best, most, free = None, 0, 0
        unready, works, drains = None, False, False
        now = self._services.clock.now()
        for sandbox in self._sandboxes.of(callee.function_uid, namespace):
            takes = self._sandboxes.takes_calls(sandbox, timeout_seconds, now)
            if not takes or revision_of(sandbox) != callee.revision:
                drains = drains or self._sandboxes.lives(sandbox)
                continue
            left = self._left(sandbox)
            if left is None:
                if unready is None or (trouble_of(unready) and not trouble_of(sandbox)):
                    unready = sandbox
                continue
            works = True
            free += max(0, left)
            if left > most:
                best, most = sandbox, left
        unready = None if works else unready
        return Room(sandbox=best, free=free, unready=unready, works=works, drains=drains)

    def hindrance(self, callee: Callee, room: Room) -> tuple[RunProblem, float] | None:
        """What keeps the Function's Sandboxes from taking any call, and since when, Unix seconds:
        it may be refused for ever. None: nothing of which that can be said."""
        if room.works:
            return None
        if room.unready is not None:
            return self._hindrance_of(callee, room.unready)
        refused = self._sandboxes.refused(callee.function_uid)
        if refused is None:
            return None
        reason = (
            ExecutionReason.QUOTA_EXCEEDED if refused.is_quota else ExecutionReason.START_FAILED
        )
        message = f'Function "{callee.name}" gets no Sandbox for its calls. {refused.message}'
        return RunProblem(reason=reason, message=message), refused.since_seconds

    def _hindrance_of(self, callee: Callee, sandbox: Manifest) -> tuple[RunProblem, float] | None:
        status = sandbox.get("status") or {}
        reason = trouble_of(sandbox)
        name = f'Sandbox "{sandbox["metadata"]["name"]}" of Function "{callee.name}"'
        if reason is not None:
            message = f"{name} cannot run: {status.get('message')}"
            return RunProblem(reason=reason, message=message), unready_since(sandbox)
        pod_uid = str((status.get("pod") or {}).get("uid"))
        asked_since = self._services.memory.asked_since.get(pod_uid)
        if status.get("state") != SandboxState.RUNNING or asked_since is None:
            return None
        message = f"The runner of {name} does not answer."
        return RunProblem(reason=ExecutionReason.START_FAILED, message=message), asked_since

    def why_none(self, callee: Callee, room: Room) -> str:
        """Why a call waits; what keeps the Function from having Sandboxes it says itself."""
        where = f'Waiting for a Sandbox of Function "{callee.name}" to have room'
        if room.works:
            return f"{where}: all are at work."
        function = self._services.cache.get(Kind.FUNCTION, callee.function_uid)
        status = {} if function is None else function.get("status") or {}
        wrong = str(status.get("message") or "") if status.get("state") == "Error" else ""
        others = " of this version yet; those of others count towards spec.scale.max"
        none = f"it has none{others if room.drains else ' yet'}."
        return f"{where}: {none}{f' {wrong}' if wrong else ''}"

    def _left(self, sandbox: Mapping[str, Any]) -> int | None:
        """How many calls it could take now; None: it is not ready for any."""
        services, status = self._services, sandbox.get("status") or {}
        spec = services.specs.of(sandbox, parse_sandbox)
        pod_uid = (status.get("pod") or {}).get("uid")
        is_ready = status.get("state") == SandboxState.RUNNING and pod_uid is not None
        if isinstance(spec, InvalidManifest) or not is_ready or spec.suspend:
            return None
        if pod_uid not in services.memory.runner_versions:
            return None
        sandbox_class, _ = find_class(services, spec.class_name)
        if sandbox_class is None:
            return None
        name = (sandbox["metadata"]["namespace"], sandbox["metadata"]["name"])
        running = sum(map(is_dispatched, self._turns.unfinished(*name)))
        return concurrency(spec, sandbox_class) - running - self._turns.claimed(name)


def trouble_of(sandbox: Manifest) -> ExecutionReason | None:
    """What a call ends with whose Sandbox stays as it is; None: it may run by itself, and if it
    is only for want of a node with room, or it says itself that somebody has to change it."""
    return _TROUBLES.get(str((sandbox.get("status") or {}).get("reason")))


def unready_since(sandbox: Manifest) -> float:
    """Since when it is not Ready, Unix seconds."""
    made = parse_time(sandbox["metadata"]["creationTimestamp"])
    turned = turned_at(sandbox.get("status") or {}, ConditionType.READY)
    found = [time for time in (made, turned) if time is not None]
    return max(found).timestamp()
