"""Everything one pass over an Execution looks at, gathered into one frozen value."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from soulbox.decide.execution_seen import (
    CodeMissing,
    Dispatched,
    SandboxSeen,
    SeenExecution,
    Turn,
)
from soulbox.decide.limits import concurrency, object_to_execution
from soulbox.decide.pods import PodPhase, PodView, view_pod
from soulbox.decide.terms import decide_terms, within
from soulbox.kube.resources import CONFIG_MAPS, SECRETS
from soulbox.model.billing import DEFAULT_SKU, PricePlan
from soulbox.model.errors import InvalidManifest, KubeNotFound, KubeRefused
from soulbox.model.keys import (
    READABLE_LABEL,
    SANDBOX_UID_LABEL,
    SKU_ANNOTATION,
    USER_ANNOTATION,
)
from soulbox.model.manifests import has_recorded
from soulbox.model.marks import dispatch_mark
from soulbox.model.owners import pod_owner
from soulbox.model.runs import StartRun
from soulbox.model.specs import (
    MAX_CODE_BYTES,
    CodeSource,
    EnvFrom,
    EnvVar,
    ExecutionSpec,
    FileEncoding,
    KeySource,
    SandboxClassSpec,
)
from soulbox.model.states import ConditionType, Kind, SandboxState
from soulbox.model.terms import RunTerms
from soulbox.model.times import parse_time
from soulbox.reconcile.runs import RunFollower
from soulbox.reconcile.sandbox import find_class
from soulbox.reconcile.services import Services
from soulbox.schema.crds.common import MAX_ENV_VALUE
from soulbox.schema.terms import read_terms

_T = TypeVar("_T")
# A guess: the default soft limit of most Linux systems.
_MAX_OPEN_FILES = 1024
# RLIMIT_FSIZE counts holes, and files in memory: JITs and databases reserve by ftruncate. What
# a file takes of the disk the runner looks at.
_MAX_FILE_SIZE_BYTES = 2**40
# Less than an Execution waits until it looks again.
_MISSING_SECONDS = 0.9


class ExecutionObserver:
    """Reads the cache, and the ConfigMap or Secret that codeFrom names."""

    def __init__(self, services: Services, runs: RunFollower) -> None:
        self._services = services
        self._runs = runs
        # Keys that could not be read when last asked for, when, and what is said of each.
        self._missing: dict[tuple[KeySource, str], tuple[float, str]] = {}

    async def observe(self, manifest: Mapping[str, Any]) -> SeenExecution:
        """The Execution and all that bears on it, as of now."""
        services, cache = self._services, self._services.cache
        metadata = manifest["metadata"]
        uid, namespace = metadata["uid"], metadata["namespace"]
        spec = services.specs.execution(manifest)
        dispatched = _parse_dispatched(metadata)
        own_pods = tuple(services.view(pod) for pod in cache.pods.of(uid, namespace))
        place = self._place(metadata, spec)
        pod = self._pod(metadata, spec, dispatched, place, own_pods)
        created = parse_time(metadata["creationTimestamp"])
        assert created is not None, "the API server sets creationTimestamp"
        turn = self._turn(uid, namespace, spec, dispatched, place)
        missing, code_read, env_read = None, None, None
        # Read when it may be needed now: each of a thousand that wait would ask for it.
        if dispatched is None and isinstance(spec, ExecutionSpec) and (not turn or turn.is_now):
            if spec.code_from is not None:
                found = await self._read_key(namespace, spec.code_from, "spec.codeFrom")
                missing, code_read = _missing_or(found)
            if missing is None:
                read = await self._read_envs(namespace, spec, place.sandbox)
                missing, env_read = _missing_or(read)
            if spec.sandbox_name is not None:
                sandbox_name = (namespace, spec.sandbox_name)
                self._keep_place(uid, sandbox_name, place.concurrency, missing)
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
            pod_refusal=services.memory.execution_refusals.get(uid),
            # Again, now that nothing is awaited any more before it is acted on.
            turn=self._turn(uid, namespace, spec, dispatched, place),
            told_seconds_ago=self._told_seconds(uid, manifest),
            lost_attempts=_lost_attempts(metadata),
            code_missing=missing,
            code_sha256=None if code_read is None else _sha256(*code_read),
            code_read=code_read,
            env_read=env_read,
            run=self._runs.newest(uid),
            silent_seconds=self._runs.silent_seconds(uid),
            followed_seconds=self._runs.followed_seconds(uid),
            terms=_terms(spec, dispatched, place, pod),
            recorded=services.mirror.is_recorded(uid),
            recorded_pods=frozenset(
                one.uid for one in own_pods if services.mirror.is_recorded(one.uid)
            ),
            # Of an object that waits for PostgreSQL no longer, what is not saved is given up.
            output_saved=uid in services.memory.saved_outputs or services.mirror.is_spooled(uid),
            price_plan=self._price_plan(namespace, pod),
            runner_version=None if pod is None else services.memory.runner_versions.get(pod.uid),
            sandbox_not_found_seconds=services.sandbox_not_found_seconds,
            refused_seconds=self._refused_seconds(uid),
            runner_hurt=dispatched is not None and services.health.is_hurt(dispatched.pod_uid),
            unenforced=None if pod is None else services.unenforced(pod.uid),
            namespace_ending=cache.namespace_deletion_time(namespace) is not None,
        )

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
            dispatched=_parse_dispatched(metadata),
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
            lost_attempts=_lost_attempts(metadata),
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
        code, encoding = spec.code or "", FileEncoding.UTF8
        if seen.code_read is not None:
            code, encoding = seen.code_read
        elif spec.code_from is not None:
            found = await self._read_key(seen.namespace, spec.code_from, "spec.codeFrom")
            if isinstance(found, CodeMissing):
                return None
            code, encoding = found
        env = seen.env_read
        if env is None:
            read = await self._read_envs(seen.namespace, spec, seen.sandbox)
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
            env=_merge_env(sandbox_class.env, env),
            capture_files=spec.capture_files,
        )

    def _place(
        self, metadata: Mapping[str, Any], spec: ExecutionSpec | InvalidManifest
    ) -> "_Place":
        """Where an Execution may run: its sandbox, or the class of a pod of its own.

        Once dispatched it belongs to the Sandbox of that uid, even when another one of the
        same name exists by now.
        """
        services = self._services
        if isinstance(spec, InvalidManifest):
            return _Place()
        if spec.sandbox_name is None:
            class_name = spec.class_name or ""
            sandbox_class, objection = find_class(services, class_name)
            place = _Place(class_name=class_name, sandbox_class=sandbox_class, objection=objection)
        else:
            bound = (metadata.get("labels") or {}).get(SANDBOX_UID_LABEL)
            if _parse_dispatched(metadata) is not None and bound:
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
                return _Place()
            place = self._sandbox_place(manifest)
        if place.sandbox_class is not None:
            place.objection = object_to_execution(spec, place.sandbox_class, place.class_name)
        return place

    def _sandbox_place(self, manifest: Mapping[str, Any]) -> "_Place":
        services = self._services
        place = _Place()
        status = manifest.get("status") or {}
        state = status.get("state", SandboxState.CREATED)
        spec = services.specs.sandbox(manifest)
        place.sandbox = SandboxSeen(
            uid=manifest["metadata"]["uid"],
            state=SandboxState(state) if state in set(SandboxState) else SandboxState.CREATED,
            deleting=bool(manifest["metadata"].get("deletionTimestamp")),
            suspended=bool((manifest.get("spec") or {}).get("suspend")),
            message=str(status.get("message", "not started yet")),
            pod_uid=(status.get("pod") or {}).get("uid"),
            spec=None if isinstance(spec, InvalidManifest) else spec,
            stalled_since=_stalled_since(status),
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

    def _pod(
        self,
        metadata: Mapping[str, Any],
        spec: ExecutionSpec | InvalidManifest,
        dispatched: Dispatched | None,
        place: "_Place",
        own_pods: tuple[PodView, ...],
    ) -> PodView | None:
        cache = self._services.cache
        uid = None
        if dispatched is not None:
            uid = dispatched.pod_uid
        elif place.sandbox is not None:
            uid = place.sandbox.pod_uid
        elif own_pods:
            # A pod that was lost with an attempt is not the next one's.
            lost = _lost_attempts(metadata)
            return next((pod for pod in reversed(own_pods) if pod.incarnation > lost), None)
        manifest = None if uid is None else cache.get(Kind.POD, uid)
        if manifest is None or not _may_run_in(metadata, spec, manifest):
            return None
        pod = view_pod(manifest)
        if dispatched is None and (pod.deleting or pod.phase is not PodPhase.RUNNING):
            return None
        return pod

    def _keep_place(
        self, uid: str, sandbox: tuple[str, str], room: int, missing: CodeMissing | None
    ) -> None:
        """Who cannot run lets others go first."""
        turns = self._services.turns
        if missing is None:
            turns.take_back(uid, sandbox)
        elif turns.set_aside(uid, sandbox):
            for other in turns.first(sandbox, room):
                self._services.enqueue(Kind.EXECUTION, other)

    def _refused_seconds(self, uid: str) -> float | None:
        since = self._services.memory.execution_refusals.since(uid)
        return None if since is None else self._now_seconds() - since

    def _asked_seconds(self, pod: PodView | None) -> float | None:
        since = None if pod is None else self._services.memory.asked_since.get(pod.uid)
        return None if since is None else self._services.clock.now().timestamp() - since

    def _turn(
        self,
        uid: str,
        namespace: str,
        spec: ExecutionSpec | InvalidManifest,
        dispatched: Dispatched | None,
        place: "_Place",
    ) -> Turn | None:
        """Its place among those that wait for the sandbox."""
        if isinstance(spec, InvalidManifest) or spec.sandbox_name is None:
            return None
        if dispatched is not None:
            return None
        return self._services.turns.turn(uid, (namespace, spec.sandbox_name), place.concurrency)

    def _told_seconds(self, uid: str, manifest: Mapping[str, Any]) -> float | None:
        """Since its place in the queue was written; what an operator before this one wrote
        counts from the first look."""
        if "queuePosition" not in (manifest.get("status") or {}):
            return None
        now_seconds = self._services.clock.now().timestamp()
        return now_seconds - self._services.memory.told.setdefault(uid, now_seconds)

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

    async def _read_envs(
        self, namespace: str, spec: ExecutionSpec, sandbox: SandboxSeen | None
    ) -> tuple[EnvVar, ...] | CodeMissing:
        """The Sandbox's variables, then the Execution's own."""
        own = {variable.name for variable in spec.env}
        of_sandbox = () if sandbox is None or sandbox.spec is None else sandbox.spec.env
        inherited = [variable for variable in of_sandbox if variable.name not in own]
        first = await self._read_env(namespace, inherited, f' of Sandbox "{spec.sandbox_name}"')
        if isinstance(first, CodeMissing):
            return first
        second = await self._read_env(namespace, spec.env, "")
        return second if isinstance(second, CodeMissing) else (*first, *second)

    async def _read_env(
        self, namespace: str, variables: Iterable[EnvVar | EnvFrom], whose: str
    ) -> tuple[EnvVar, ...] | CodeMissing:
        """The same variables, those that lie elsewhere read."""
        found: list[EnvVar] = []
        for variable in variables:
            if isinstance(variable, EnvVar):
                found.append(variable)
                continue
            field = f"variable {variable.name}{whose}"
            read = await self._read_key(namespace, variable.value_from, field)
            if isinstance(read, CodeMissing):
                return read
            value = _env_value(*read)
            if value is None:
                return CodeMissing(
                    message=f"{field}: its value is not text of at most {MAX_ENV_VALUE} "
                    "characters without NUL."
                )
            found.append(EnvVar(name=variable.name, value=value))
        return tuple(found)

    async def _read_key(
        self, namespace: str, source: KeySource, field: str
    ) -> tuple[str, FileEncoding] | CodeMissing:
        """One key of a ConfigMap or Secret; `field` begins what is said of a missing one.

        A crowd that waits for one asks for it once a second, all together.
        """
        key, now_seconds = (source, namespace), self._now_seconds()
        known = self._missing.get(key)
        if known is not None and abs(now_seconds - known[0]) < _MISSING_SECONDS:
            return CodeMissing(message=f"{field}: {known[1]}")
        found = await self._ask_for_key(namespace, source)
        if not isinstance(found, CodeMissing):
            return found
        fresh = {
            other: told
            for other, told in self._missing.items()
            if now_seconds - told[0] < _MISSING_SECONDS
        }
        self._missing = {**fresh, key: (now_seconds, found.message)}
        return CodeMissing(message=f"{field}: {found.message}")

    async def _ask_for_key(
        self, namespace: str, source: KeySource
    ) -> tuple[str, FileEncoding] | CodeMissing:
        """The same of the API server; what is said of a missing one is without a field."""
        is_secret = source.source is CodeSource.SECRET
        what = f'{source.source} "{source.name}"'
        missing = CodeMissing(message=f"{what} does not exist; create it.")
        if is_secret:
            # One word for both: who may not read Secrets is not told here which exist.
            missing = CodeMissing(
                message=f'there is no {what} with the label {READABLE_LABEL}: "true", '
                "which Executions need to read it; create the Secret, or label it."
            )
        try:
            manifest = await self._services.kube.get(
                SECRETS if is_secret else CONFIG_MAPS, source.name, namespace
            )
        except KubeNotFound:
            return missing
        except KubeRefused as error:
            return CodeMissing(message=f"{what} cannot be read: {error.message}")
        labels = manifest["metadata"].get("labels") or {}
        if is_secret and labels.get(READABLE_LABEL) != "true":
            return missing
        return _value_of(manifest, source, what)

    def _now_seconds(self) -> float:
        return self._services.clock.now().timestamp()


def _stalled_since(status: Mapping[str, Any]) -> datetime | None:
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("status")) == (ConditionType.STALLED, "True"):
            return parse_time(condition.get("lastTransitionTime"))
    return None


def _missing_or(found: _T | CodeMissing) -> tuple[CodeMissing | None, _T | None]:
    return (found, None) if isinstance(found, CodeMissing) else (None, found)


def _env_value(text: str, encoding: FileEncoding) -> str | None:
    try:
        value = base64.b64decode(text).decode() if encoding is FileEncoding.BASE64 else text
    except ValueError:
        return None
    return None if "\0" in value or len(value) > MAX_ENV_VALUE else value


def _value_of(
    manifest: Mapping[str, Any], source: KeySource, what: str
) -> tuple[str, FileEncoding] | CodeMissing:
    data = manifest.get("data") or {}
    binary = manifest.get("binaryData") or {}
    if source.key in data and source.source is CodeSource.CONFIG_MAP:
        text = str(data[source.key])
        size, found = len(text.encode()), (text, FileEncoding.UTF8)
    elif source.key in data or source.key in binary:
        encoded = str(data.get(source.key, binary.get(source.key)))
        size, found = len(base64.b64decode(encoded)), (encoded, FileEncoding.BASE64)
    else:
        return CodeMissing(message=f'{what} has no key "{source.key}".')
    if size > MAX_CODE_BYTES:
        return CodeMissing(
            message=f'{what}: its key "{source.key}" has {size} bytes; '
            f"{MAX_CODE_BYTES} are allowed."
        )
    return found


def _sha256(code: str, encoding: FileEncoding) -> str:
    raw = base64.b64decode(code) if encoding is FileEncoding.BASE64 else code.encode()
    return hashlib.sha256(raw).hexdigest()


def _terms(
    spec: ExecutionSpec | InvalidManifest,
    dispatched: Dispatched | None,
    place: "_Place",
    pod: PodView | None,
) -> RunTerms | None:
    """The receipt's, else what its place gives it now: an earlier release kept no receipt."""
    if dispatched is not None and dispatched.terms is not None:
        return dispatched.terms
    if isinstance(spec, InvalidManifest) or place.sandbox_class is None:
        return None
    sandbox = None if place.sandbox is None else place.sandbox.spec
    return decide_terms(spec, place.sandbox_class, place.class_name, sandbox=sandbox, pod=pod)


class _Place:
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


def _is_called(manifest: Mapping[str, Any], namespace: str, name: str) -> bool:
    metadata = manifest["metadata"]
    return bool(metadata["namespace"] == namespace and metadata["name"] == name)


def _may_run_in(
    metadata: Mapping[str, Any],
    spec: ExecutionSpec | InvalidManifest,
    pod: Mapping[str, Any],
) -> bool:
    """Whether a pod is the Execution's own, or one of the Sandbox it names.

    The dispatched annotation is the tenant's to write: without this it would send his code
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


def _parse_dispatched(metadata: Mapping[str, Any]) -> Dispatched | None:
    """The annotation; what a tenant wrote there by hand that is not of our form reads as a
    pod that does not exist, which harms his own Execution only."""
    pod_uid, attempt = dispatch_mark(metadata)
    if not pod_uid:
        return None
    return Dispatched(pod_uid=pod_uid, attempt=attempt, terms=read_terms(metadata))


def _lost_attempts(metadata: Mapping[str, Any]) -> int:
    """How often it was lost with its pod and may be dispatched again: "/2"."""
    pod_uid, attempt = dispatch_mark(metadata)
    return 0 if pod_uid else attempt


def _merge_env(*sources: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """The later wins."""
    merged: dict[str, EnvVar] = {}
    for source in sources:
        merged.update((variable.name, variable) for variable in source)
    return tuple(merged.values())
