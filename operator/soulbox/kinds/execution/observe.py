"""Everything one pass over an Execution looks at, gathered into one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from soulbox.kinds.execution.calls import Call, Calls
from soulbox.kinds.execution.decide.seen import (
    Callee,
    CallProblem,
    Dispatched,
    ResultVerdict,
    RunProblem,
    SeenExecution,
    Turn,
)
from soulbox.kinds.execution.decide.terms import within
from soulbox.kinds.execution.index import queue_of
from soulbox.kinds.execution.inputs import InputReader, lies_elsewhere, merge_env
from soulbox.kinds.execution.memory import ExecutionMemory
from soulbox.kinds.execution.place import (
    Place,
    lost_attempts,
    parse_dispatched,
    place_of,
    pod_of,
    terms_of,
)
from soulbox.kinds.execution.rooms import Rooms
from soulbox.kinds.execution.runs import RunFollower
from soulbox.kinds.execution.specs import execution_spec
from soulbox.model.billing import DEFAULT_SKU, PricePlan
from soulbox.model.errors import InvalidManifest
from soulbox.model.functions import Revision
from soulbox.model.handlers import Handler, handler_language
from soulbox.model.keys import SKU_ANNOTATION, USER_ANNOTATION
from soulbox.model.manifests import has_recorded, is_finished, sandbox_ref
from soulbox.model.runs import RunDocument, StartRun
from soulbox.model.specs import (
    CodeMissing,
    EnvVar,
    ExecutionSpec,
    FileEncoding,
    Interpreter,
)
from soulbox.model.states import Kind, RunnerFeature
from soulbox.model.times import parse_time
from soulbox.pure.pods.view import PodView
from soulbox.pure.programs import code_sha256
from soulbox.reconcile.services import Services

_NO_ROOM: Final = Turn(position=1, running=0, room=0)
_T = TypeVar("_T")
# A guess: the default soft limit of most Linux systems.
_MAX_OPEN_FILES = 1024
# RLIMIT_FSIZE counts holes, and files in memory: JITs and databases reserve by ftruncate. What
# a file takes of the disk the runner looks at.
_MAX_FILE_SIZE_BYTES = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the cache says of an Execution's place at one moment."""

    spec: ExecutionSpec | InvalidManifest
    dispatched: Dispatched | None
    own_pods: tuple[PodView, ...]
    place: Place
    pod: PodView | None
    turn: Turn | None
    callee: Callee | CallProblem | None
    # What keeps a call from having a Sandbox, and since when, Unix seconds.
    hindrance: tuple[RunProblem, float] | None

    @property
    def may_start(self) -> bool:
        """Whether it may be its turn, so that what it is given is read."""
        waits = isinstance(self.callee, CallProblem) or bool(self.callee and self.callee.waits)
        is_next = self.turn is None or self.turn.is_now
        return self.dispatched is None and not waits and is_next


class ExecutionObserver:
    """Reads the cache, and what an Execution is given from elsewhere."""

    def __init__(
        self,
        services: Services,
        memory: ExecutionMemory,
        runs: RunFollower,
        calls: Calls,
        rooms: Rooms,
    ) -> None:
        self._services = services
        self._rooms = rooms
        self._memory = memory
        self._runs = runs
        self._calls = calls
        self._inputs = InputReader(services.kube, services.clock)

    async def observe(self, manifest: Mapping[str, Any]) -> SeenExecution:
        """The Execution and all that bears on it, as of now."""
        services, cache = self._services, self._services.cache
        metadata = manifest["metadata"]
        uid, namespace = metadata["uid"], metadata["namespace"]
        spec = execution_spec(services.specs, manifest)
        call = None
        if isinstance(spec, ExecutionSpec) and spec.function is not None:
            call = await self._calls.resolve(manifest, spec, spec.function)
            spec = call.spec
        created = parse_time(metadata["creationTimestamp"])
        assert created is not None, "the API server sets creationTimestamp"
        look = self._look(manifest, spec, call)
        missing, code_read, env_read = None, None, None
        is_stale = False  # something was awaited since, or its place is another one
        # Read when it may be needed now: each of a thousand that wait would ask for it.
        if isinstance(spec, ExecutionSpec) and look.may_start and not is_finished(manifest):
            is_stale = lies_elsewhere(spec, look.place.sandbox)
            missing, code_read, env_read = await self._read(namespace, spec, call, look)
            queue = queue_of(manifest)
            if queue is not None:
                moved = self._keep_place(uid, queue, look.place.concurrency, missing)
                is_stale = is_stale or moved
        verdict = ResultVerdict()
        run = self._runs.newest(uid)
        if call is not None and isinstance(run, RunDocument) and not is_finished(manifest):
            is_stale = True
            verdict = await self._calls.result_verdict(uid, call, run)
        if is_stale:
            # Again, now that nothing is awaited any more before it is acted on.
            look = self._look(manifest, spec, call)
        spec, place, pod, dispatched = look.spec, look.place, look.pod, look.dispatched
        own_pods = look.own_pods
        if isinstance(look.callee, Callee) and not look.callee.one_shot:
            self._memory.refusals.drop(uid)  # of a pod that it would have had before a new scale
        return SeenExecution(
            uid=uid,
            namespace=namespace,
            name=metadata["name"],
            generation=metadata.get("generation", 1),
            created_at=created,
            deleting=bool(metadata.get("deletionTimestamp")),
            has_finalizer=has_recorded(manifest),
            status=manifest.get("status") or {},
            spec=spec,
            dispatched=dispatched,
            sandbox_class=place.sandbox_class,
            class_name=place.class_name,
            class_objection=place.objection,
            sandbox=place.sandbox,
            pod=pod,
            pod_ready=pod is not None and pod.uid in services.memory.runner_versions,
            pod_asked_seconds=self._asked_seconds(pod),
            run_awaited=self._runs.awaits(uid),
            own_pods=own_pods,
            pod_refusal=self._memory.refusals.get(uid)
            if look.hindrance is None
            else look.hindrance[0],
            turn=look.turn,
            told_seconds_ago=self._told_seconds(uid, manifest),
            lost_attempts=lost_attempts(metadata),
            code_missing=missing,
            code_sha256=_sha256(call, code_read),
            code_read=code_read,
            code_encoding=FileEncoding.UTF8
            if call is None or call.revision is None
            else call.revision.code_encoding,
            env_read=env_read,
            run=run,
            call=look.callee,
            verdict=verdict,
            silent_seconds=self._runs.silent_seconds(uid),
            followed_seconds=self._runs.followed_seconds(uid),
            terms=terms_of(spec, dispatched, place, pod),
            recorded=services.mirror.is_recorded(uid),
            recorded_pods=frozenset(
                one.uid for one in own_pods if services.mirror.is_recorded(one.uid)
            ),
            # Of an object that waits for PostgreSQL no longer, what is not saved is given up.
            output_saved=uid in self._memory.saved_outputs or services.mirror.is_spooled(uid),
            price_plan=self._price_plan(namespace, pod),
            runner_version=None if pod is None else services.memory.runner_versions.get(pod.uid),
            sandbox_not_found_seconds=services.sandbox_not_found_seconds,
            refused_seconds=self._refused_seconds(uid, created, look),
            runner_hurt=dispatched is not None and services.health.is_hurt(dispatched.pod_uid),
            unenforced=None if pod is None else services.unenforced(pod.uid),
            namespace_ending=cache.namespace_deletion_time(namespace) is not None,
        )

    def _look(
        self,
        manifest: Mapping[str, Any],
        spec: ExecutionSpec | InvalidManifest,
        call: Call | None,
    ) -> "_Look":
        """Where it may run, by the cache alone."""
        services, metadata = self._services, manifest["metadata"]
        uid, namespace = metadata["uid"], metadata["namespace"]
        dispatched = parse_dispatched(metadata)
        own_pods = tuple(services.view(pod) for pod in services.pods.of(uid, namespace))
        callee, free, hindrance = None if call is None else call.callee, None, None
        if isinstance(callee, CallProblem):
            spec = spec if isinstance(spec, InvalidManifest) else replace(spec, function=None)
        elif call is not None and callee is not None and isinstance(spec, ExecutionSpec):
            name = sandbox_ref(manifest)
            if dispatched is None and not (callee.one_shot or callee.waits):
                room = self._rooms.room(callee, namespace, call.longest_seconds)
                hindrance = self._rooms.hindrance(callee, room)
                free, name = room.free, room.place
                if room.sandbox is None:
                    services.enqueue(Kind.FUNCTION, callee.function_uid)
                if name is None:
                    callee = replace(callee, waits=self._rooms.why_none(callee, room))
            spec = replace(spec, sandbox_name=name)
        place = place_of(services, metadata, spec)
        pod = pod_of(services, metadata, spec, dispatched, place, own_pods)
        if pod is not None and dispatched is None and not place.objection:
            place.objection = _unable(spec, services.memory.runner_features.get(pod.uid))
        return _Look(
            spec=spec,
            dispatched=dispatched,
            own_pods=own_pods,
            place=place,
            pod=pod,
            callee=callee,
            hindrance=hindrance,
            turn=self._turn(
                manifest, spec, dispatched, place.concurrency if free is None else free
            ),
        )

    async def _read(
        self, namespace: str, spec: ExecutionSpec, call: Call | None, look: "_Look"
    ) -> tuple[CodeMissing | None, tuple[str, FileEncoding] | None, tuple[EnvVar, ...] | None]:
        """Its code, where that is not in the object, and its variables; or what is missing."""
        missing, code = None, None
        revision = None if call is None else call.revision
        if spec.code_from is not None:
            found = await self._inputs.read_key(namespace, spec.code_from, "spec.codeFrom")
            missing, code = _missing_or(found)
            if code is not None and revision is not None and not _is_of(revision, code):
                missing = CodeMissing(
                    message=(
                        f'The code of Function "{revision.function_name}" was changed under '
                        f"version {revision.version}: put it back, or publish a new version."
                    )
                )
        elif revision is not None:
            code = (revision.spec.code or "", revision.code_encoding)
        if missing is not None:
            return missing, None, None
        read = await self._inputs.read_envs(namespace, spec, look.place.sandbox)
        missing, env = _missing_or(read)
        return missing, code, env

    def glimpse(self, manifest: Mapping[str, Any]) -> SeenExecution:
        """The Execution by itself alone, as if nothing bore on it."""
        metadata = manifest["metadata"]
        created = parse_time(metadata["creationTimestamp"])
        assert created is not None, "the API server sets creationTimestamp"
        return SeenExecution(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            generation=metadata.get("generation", 1),
            created_at=created,
            deleting=bool(metadata.get("deletionTimestamp")),
            has_finalizer=has_recorded(manifest),
            status=manifest.get("status") or {},
            spec=InvalidManifest("spec", "was not looked at", "look at the operator's log"),
            dispatched=parse_dispatched(metadata),
            sandbox_class=None,
            class_name="",
            class_objection="",
            sandbox=None,
            pod=None,
            pod_ready=False,
            pod_asked_seconds=None,
            run_awaited=False,
            own_pods=(),
            pod_refusal=None,
            turn=None,
            told_seconds_ago=None,
            lost_attempts=lost_attempts(metadata),
            code_missing=None,
            run=None,
            silent_seconds=None,
            followed_seconds=None,
            terms=None,
            recorded=False,
            recorded_pods=frozenset(),
            output_saved=False,
            price_plan=None,
            runner_version=None,
            sandbox_not_found_seconds=self._services.sandbox_not_found_seconds,
        )

    async def start_request(self, seen: SeenExecution) -> StartRun | None:
        """What the runner is asked to run; None when it cannot be known (any more)."""
        spec, sandbox_class, terms = seen.spec, seen.sandbox_class, seen.terms
        if not isinstance(spec, ExecutionSpec) or sandbox_class is None or seen.class_objection:
            return None
        if terms is None:
            return None
        if seen.dispatched is not None:
            terms = within(terms, sandbox_class.max)
        if spec.code is None and spec.code_from is None and seen.code_read is None:
            return None  # of a version that is gone
        code, encoding = spec.code or "", seen.code_encoding
        if seen.code_read is not None:
            code, encoding = seen.code_read
        elif spec.code_from is not None:
            found = await self._inputs.read_key(seen.namespace, spec.code_from, "spec.codeFrom")
            if isinstance(found, CodeMissing):
                return None
            code, encoding = found
        env = seen.env_read
        if env is None:
            read = await self._inputs.read_envs(seen.namespace, spec, seen.sandbox)
            if isinstance(read, CodeMissing):
                return None
            env = read
        return StartRun(
            command=terms.interpreter.command,
            extension=terms.interpreter.extension,
            code=code,
            code_encoding=encoding,
            timeout_seconds=terms.timeout_seconds,
            output_limit_bytes=terms.output_limit_bytes,
            max_processes=terms.max_processes,
            max_open_files=_MAX_OPEN_FILES,
            max_file_size_bytes=_MAX_FILE_SIZE_BYTES,
            files=spec.files,
            args=spec.args,
            stdin=spec.stdin,
            input=spec.input,
            handler=_handler(spec, terms.interpreter),
            env=merge_env(sandbox_class.env, env),
            capture_files=spec.capture_files,
        )

    def _keep_place(
        self, uid: str, sandbox: tuple[str, str], room: int, missing: CodeMissing | None
    ) -> bool:
        """Who cannot run lets others go first; whether its place changed."""
        turns = self._memory.turns
        if missing is None:
            return turns.take_back(uid, sandbox)
        is_news = turns.set_aside(uid, sandbox)
        for other in turns.first(sandbox, room) if is_news else ():
            self._services.enqueue(Kind.EXECUTION, other)
        return is_news

    def _refused_seconds(self, uid: str, created: datetime, look: _Look) -> float | None:
        since = self._memory.refusals.since(uid)
        if look.hindrance is not None:  # it has not waited for that before it was there
            since = max(look.hindrance[1], created.timestamp())
        return None if since is None else self._now_seconds() - since

    def _asked_seconds(self, pod: PodView | None) -> float | None:
        since = None if pod is None else self._services.memory.asked_since.get(pod.uid)
        return None if since is None else self._services.clock.now().timestamp() - since

    def _turn(
        self,
        manifest: Mapping[str, Any],
        spec: ExecutionSpec | InvalidManifest,
        dispatched: Dispatched | None,
        room: int,
    ) -> Turn | None:
        """Its place among those that wait for the same Sandbox, or Function."""
        queue = queue_of(manifest)
        if isinstance(spec, InvalidManifest) or spec.sandbox_name is None:
            return None
        if dispatched is not None or queue is None:
            return None
        if not room:  # to put a crowd in order for each of it that comes would take long
            return _NO_ROOM
        return self._memory.turns.turn(manifest["metadata"]["uid"], queue, room)

    def _told_seconds(self, uid: str, manifest: Mapping[str, Any]) -> float | None:
        """Since its place in the queue was written; what an operator before this one wrote
        counts from the first look."""
        if "queuePosition" not in (manifest.get("status") or {}):
            return None
        now_seconds = self._services.clock.now().timestamp()
        return now_seconds - self._memory.told.setdefault(uid, now_seconds)

    def _price_plan(self, namespace: str, pod: PodView | None) -> PricePlan | None:
        book = self._services.mirror.price_book()
        if book is None or pod is None:
            return None
        manifest = self._services.cache.get(Kind.POD, pod.uid)
        if manifest is None:
            return None
        annotations = manifest["metadata"].get("annotations") or {}
        now = self._services.clock.now()
        tenant = self._services.mirror.tenant_of(namespace)
        tier = book.tier_of(tenant, annotations.get(USER_ANNOTATION, ""), now)
        return book.plan_for(annotations.get(SKU_ANNOTATION, DEFAULT_SKU), tier, now)

    def _now_seconds(self) -> float:
        return self._services.clock.now().timestamp()


def _sha256(call: Call | None, code: tuple[str, FileEncoding] | None) -> str | None:
    if code is None:
        return None
    known = None if call is None or call.revision is None else call.revision.code_sha256
    return known or code_sha256(*code)


def _is_of(revision: Revision, code: tuple[str, FileEncoding]) -> bool:
    return code_sha256(*code) == revision.code_sha256


def _handler(spec: ExecutionSpec, interpreter: Interpreter) -> Handler | None:
    language = None if spec.handler is None else handler_language(interpreter)
    if spec.handler is None or language is None:
        return None
    return Handler(name=spec.handler, language=language)


def _unable(
    spec: ExecutionSpec | InvalidManifest, features: frozenset[RunnerFeature] | None
) -> str:
    """What the runner there cannot do, "" for nothing: its pod is of an earlier release.

    Args:
        features: None: it has not answered yet.
    """
    if isinstance(spec, InvalidManifest) or features is None:
        return ""
    for field, asked, feature in (
        ("handler", spec.handler, RunnerFeature.HANDLER),
        ("input", spec.input, RunnerFeature.INPUT),
    ):
        if asked is not None and feature not in features:
            return (
                f"spec.{field}: the runner in its pod is of an earlier release that knows none; "
                "suspend the Sandbox and resume it for a new pod, or make another."
            )
    return ""


def _missing_or(found: _T | CodeMissing) -> tuple[CodeMissing | None, _T | None]:
    return (found, None) if isinstance(found, CodeMissing) else (None, found)
