"""Where an Execution may run, or runs: its Sandbox, or the class and pod of its own.

Labels and annotations that lead there were written by us, and may have been written by a tenant all
the same: none leads out of the namespace, or into what the spec does not name.
"""

from collections.abc import Mapping
from typing import Any

from soulbox.kinds.execution.decide.seen import Dispatched, SandboxSeen
from soulbox.kinds.execution.decide.terms import decide_terms
from soulbox.kinds.execution.receipt import read_terms
from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.kinds.sandbox_class.decide.limits import concurrency, object_to_execution
from soulbox.kinds.sandbox_class.lookup import find_class
from soulbox.model.errors import InvalidManifest
from soulbox.model.keys import SANDBOX_UID_LABEL
from soulbox.model.marks import dispatch_mark
from soulbox.model.owners import pod_owner
from soulbox.model.specs import ExecutionSpec, SandboxClassSpec
from soulbox.model.states import ConditionType, Kind, SandboxState
from soulbox.model.terms import RunTerms
from soulbox.pure.conditions import turned_at
from soulbox.pure.pods.view import PodPhase, PodView
from soulbox.reconcile.services import Services


class Place:
    """Where an Execution may run, while it is being put together."""

    __slots__ = (
        "class_name",
        "concurrency",
        "objection",
        "sandbox",
        "sandbox_class",
    )

    def __init__(
        self,
        *,
        class_name: str = "",
        sandbox_class: SandboxClassSpec | None = None,
        objection: str = "",
    ) -> None:
        self.sandbox: SandboxSeen | None = None
        self.class_name = class_name
        self.sandbox_class = sandbox_class
        self.objection = objection
        self.concurrency = 1


def place_of(
    services: Services, metadata: Mapping[str, Any], spec: ExecutionSpec | InvalidManifest
) -> Place:
    """Where an Execution may run: its sandbox, or the class of a pod of its own.

    Once dispatched it belongs to the Sandbox of that uid, even when another one of the
    same name exists by now.
    """
    if isinstance(spec, InvalidManifest):
        return Place()
    if spec.sandbox_name is None:
        class_name = spec.class_name or ""
        sandbox_class, objection = find_class(services, class_name)
        place = Place(class_name=class_name, sandbox_class=sandbox_class, objection=objection)
    else:
        bound = (metadata.get("labels") or {}).get(SANDBOX_UID_LABEL)
        if parse_dispatched(metadata) is not None and bound:
            manifest = services.cache.get(Kind.SANDBOX, bound)
            # A label is the tenant's to write: it may not point elsewhere.
            if manifest is not None and not _is_called(
                manifest, metadata["namespace"], spec.sandbox_name
            ):
                manifest = None
        else:
            manifest = services.cache.by_name(
                Kind.SANDBOX, metadata["namespace"], spec.sandbox_name
            )
        if manifest is None:
            return Place()
        place = _sandbox_place(services, manifest)
    if place.sandbox_class is not None:
        place.objection = object_to_execution(spec, place.sandbox_class, place.class_name)
    return place


def _sandbox_place(services: Services, manifest: Mapping[str, Any]) -> Place:
    place = Place()
    status = manifest.get("status") or {}
    state = status.get("state", SandboxState.CREATED)
    spec = services.specs.of(manifest, parse_sandbox)
    place.sandbox = SandboxSeen(
        uid=manifest["metadata"]["uid"],
        state=SandboxState(state) if state in set(SandboxState) else SandboxState.CREATED,
        deleting=bool(manifest["metadata"].get("deletionTimestamp")),
        suspended=bool((manifest.get("spec") or {}).get("suspend")),
        message=str(status.get("message", "not started yet")),
        pod_uid=(status.get("pod") or {}).get("uid"),
        spec=None if isinstance(spec, InvalidManifest) else spec,
        stalled_since=turned_at(status, ConditionType.STALLED, "True"),
        user=(manifest.get("spec") or {}).get("user"),
    )
    if isinstance(spec, InvalidManifest):
        return place
    place.class_name = spec.class_name
    place.concurrency = spec.max_concurrent_executions
    place.sandbox_class, place.objection = find_class(services, spec.class_name)
    if place.sandbox_class is not None:
        place.concurrency = concurrency(spec, place.sandbox_class)
    return place


def pod_of(
    services: Services,
    metadata: Mapping[str, Any],
    spec: ExecutionSpec | InvalidManifest,
    dispatched: Dispatched | None,
    place: Place,
    own_pods: tuple[PodView, ...],
) -> PodView | None:
    cache = services.cache
    uid = None
    if dispatched is not None:
        uid = dispatched.pod_uid
    elif place.sandbox is not None:
        uid = place.sandbox.pod_uid
    elif own_pods:
        # A pod that was lost with an attempt is not the next one's.
        lost = lost_attempts(metadata)
        return next((pod for pod in reversed(own_pods) if pod.incarnation > lost), None)
    manifest = None if uid is None else cache.get(Kind.POD, uid)
    if manifest is None or not _may_run_in(metadata, spec, manifest):
        return None
    pod = services.views.of(manifest)
    if dispatched is None and (pod.deleting or pod.phase is not PodPhase.RUNNING):
        return None
    return pod


def terms_of(
    spec: ExecutionSpec | InvalidManifest,
    dispatched: Dispatched | None,
    place: Place,
    pod: PodView | None,
) -> RunTerms | None:
    """The receipt's, else what its place gives it now: an earlier release kept no receipt."""
    if dispatched is not None and dispatched.terms is not None:
        return dispatched.terms
    if isinstance(spec, InvalidManifest) or place.sandbox_class is None:
        return None
    sandbox = None if place.sandbox is None else place.sandbox.spec
    return decide_terms(spec, place.sandbox_class, place.class_name, sandbox=sandbox, pod=pod)


def _is_called(manifest: Mapping[str, Any], namespace: str, name: str) -> bool:
    metadata = manifest["metadata"]
    return bool(metadata["namespace"] == namespace and metadata["name"] == name)


def _may_run_in(
    metadata: Mapping[str, Any],
    spec: ExecutionSpec | InvalidManifest,
    pod: Mapping[str, Any],
) -> bool:
    """Whether a pod is the Execution's own, or one of the Sandbox it names.

    The dispatched annotation is the tenant's to write: without this it would send their code
    into any sandbox of the cluster.
    """
    if pod["metadata"]["namespace"] != metadata["namespace"]:
        return False
    owner = pod_owner(pod)
    if owner is None:
        return False
    if isinstance(spec, ExecutionSpec) and spec.sandbox_name is not None:
        return (owner.kind, owner.name) == (Kind.SANDBOX, spec.sandbox_name)
    return bool(owner.uid == metadata["uid"])


def parse_dispatched(metadata: Mapping[str, Any]) -> Dispatched | None:
    """The annotation; what a tenant wrote there by hand that is not of our form reads as a
    pod that does not exist, which harms their own Execution only."""
    pod_uid, attempt = dispatch_mark(metadata)
    if not pod_uid:
        return None
    return Dispatched(pod_uid=pod_uid, attempt=attempt, terms=read_terms(metadata))


def lost_attempts(metadata: Mapping[str, Any]) -> int:
    """How often it was lost with its pod and may be dispatched again: "/2"."""
    pod_uid, attempt = dispatch_mark(metadata)
    return 0 if pod_uid else attempt
