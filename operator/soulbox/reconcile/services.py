"""What reconcilers work with, handed in once by `app`."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from soulbox.box.client import RunnerClient
from soulbox.box.target import ForbiddenTarget
from soulbox.box.transport import PodAddress
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.events import EventRecorder
from soulbox.kube.slim import slim
from soulbox.model.errors import HostileReply, RunnerRefused
from soulbox.model.keys import RUNNER_PORT
from soulbox.model.owners import Owner
from soulbox.model.states import Kind, PolicyFinding, RunnerFeature
from soulbox.pure.pods.enforcement import Unenforced
from soulbox.pure.pods.view import PodPhase, PodView, Trouble
from soulbox.pure.prices import PriceBook
from soulbox.reconcile.health import RunnerHealth
from soulbox.reconcile.specs import SpecMemory
from soulbox.reconcile.views import PodViews
from soulbox.telemetry.metrics import Metrics


class Recorder(Protocol):
    """The mirror, as far as reconcilers use it."""

    def offer(self, kind: Kind, manifest: Mapping[str, Any], *, deleted: bool = False) -> None:
        """Take the newest object; returns at once."""
        ...

    def is_recorded(self, uid: str) -> bool:
        """Whether the final rows of that object are committed."""
        ...

    def is_spooled(self, uid: str) -> bool:
        """Whether they are on the spool volume, and nowhere else yet."""
        ...

    def price_book(self) -> PriceBook | None:
        """The newest price plans read, None before the first read."""
        ...

    def tenant_of(self, namespace: str) -> str:
        """The tenant that time in this namespace is billed to."""
        ...


class Pods(Protocol):
    """Pods by the object that they were made for."""

    def of(self, owner_uid: str, namespace: str | None = None) -> list[Mapping[str, Any]]:
        """Pods of that object, by creation and name.

        Args:
            namespace: the owner's; None where that is not known.
        """
        ...

    def owner_of(self, pod: Mapping[str, Any]) -> Owner | None:
        """Whose a pod in the cache is, None: nobody's that we know."""
        ...


class OutputSaver(Protocol):
    """Where whole outputs go."""

    async def save_output(
        self, uid: str, created_at: Any, stream: str, chunks: Any, *, is_log: bool = False
    ) -> int:
        """Replace what is saved of a stream, or captured file ("file/3"); the
        number of bytes saved."""
        ...

    async def mark_output_complete(self, uid: str, created_at: Any) -> None:
        """The whole output is saved."""
        ...


class Mirror(Recorder, OutputSaver, Protocol):
    """Everything reconcilers want of the mirror."""


# Starts a supervised background task: (name, coroutine).
Spawn = Callable[[str, Coroutine[Any, Any, None]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What pods are told about who may command their runner."""

    environment: str  # value of SOULBOX_PUBLIC_KEYS
    key_id: str  # of the key that signs now


@dataclass(slots=True, kw_only=True)
class Memory:
    """What one operator process knows of pods beyond the objects; all of it can be asked again.
    What it knows of a kind's objects, the kind's own reconciler keeps."""

    # Pods whose runner answered, and the version it told.
    runner_versions: dict[str, str] = field(default_factory=dict)
    # What those runners can.
    runner_features: dict[str, frozenset[RunnerFeature]] = field(default_factory=dict)
    # When each pod that has not answered yet was first asked, Unix seconds.
    asked_since: dict[str, float] = field(default_factory=dict)
    # Why pods that have not started do not, by their Events.
    pod_troubles: dict[str, Trouble] = field(default_factory=dict)
    # Objects that are gone, and whose code is being ended.
    farewells: set[str] = field(default_factory=set)
    # What runners found that start no code, because their policy was not seen in force: what,
    # its words, and since when, Unix seconds, by pod uid.
    unenforced: dict[str, tuple[PolicyFinding, str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One operator's tools. Shared by all reconcilers, for one event loop."""

    kube: KubeClient
    cache: ObjectCache
    pods: Pods
    clock: ServerClock
    mirror: Mirror
    runner: RunnerClient
    events: EventRecorder
    metrics: Metrics
    keys: PublicKeys
    enqueue: Callable[[Kind, str], None]
    spawn: Spawn
    operator_namespace: str
    sandbox_not_found_seconds: float
    enforcement_wait_seconds: float
    target: ForbiddenTarget
    run_poll_seconds: float
    memory: Memory = field(default_factory=Memory)
    specs: SpecMemory = field(default_factory=SpecMemory)
    views: PodViews = field(default_factory=PodViews)
    health: RunnerHealth
    # Told of an object that is no more, by its last version, whether or not a watch says so.
    gone: Callable[[Kind, Mapping[str, Any]], None]
    # Told of each version that our own writes made, before the watch brings it.
    wrote: Callable[[Kind, Mapping[str, Any]], None] = lambda *_: None

    def saw(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """An object as the API server just returned it: the next pass, and the mirror, see
        it even if the watch is late."""
        manifest = slim(kind, manifest)
        if self.cache.put(kind, manifest):
            self.mirror.offer(kind, manifest)
            self.wrote(kind, manifest)

    def view(self, pod: Mapping[str, Any]) -> PodView:
        """What a pod says, its Events too where they were asked."""
        view = self.views.of(pod)
        if view.phase is PodPhase.PENDING and view.trouble is None:
            return replace(view, trouble=self.memory.pod_troubles.get(view.uid))
        return view

    def unenforced(self, pod_uid: str) -> Unenforced | None:
        """What keeps a pod's runner from starting code; None: nothing known does."""
        known = self.memory.unenforced.get(pod_uid)
        if known is None:
            return None
        finding, detail, since = known
        return Unenforced(
            finding=finding,
            detail=detail,
            seconds=self.clock.now().timestamp() - since,
            limit_seconds=self.enforcement_wait_seconds,
        )

    def missed(self, kind: Kind, uid: str) -> None:
        """The API server has the object no more. A watch that began after its deletion never
        tells, so that the mirror would not hear of it either."""
        known = self.cache.get(kind, uid)
        if known is not None:
            self.gone(kind, known)


def address_of(pod: Mapping[str, Any]) -> PodAddress | None:
    """Where a pod's runner listens, None while the pod has no address."""
    ip = (pod.get("status") or {}).get("podIP")
    if not ip:
        return None
    return PodAddress(uid=pod["metadata"]["uid"], ip=ip, port=RUNNER_PORT)


def runner_error_code(error: RunnerRefused | HostileReply) -> str:
    """For the metric."""
    return error.code if isinstance(error, RunnerRefused) else type(error).__name__
