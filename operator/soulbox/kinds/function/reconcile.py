"""Reconciling Functions: their versions are published, and old ones withdrawn."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from soulbox.kinds.function.boxes import BOX_OF_CALLS, FunctionBoxes, Kept, WaitingCalls
from soulbox.kinds.function.calls import revisions_in_use
from soulbox.kinds.function.decide import objection as objections
from soulbox.kinds.function.decide.content import Code, code_of, content_sha256
from soulbox.kinds.function.decide.objection import Objection
from soulbox.kinds.function.decide.published import (
    Published,
    counted,
    published_of,
    withdrawn_of,
)
from soulbox.kinds.function.decide.seen import SeenFunction
from soulbox.kinds.function.decide.status import report
from soulbox.kinds.function.decide.versions import (
    Current,
    New,
    find_version,
    to_withdraw,
    with_new,
    without,
)
from soulbox.kinds.function.publish import Publisher
from soulbox.kinds.function.revisions import Revisions
from soulbox.kinds.function.spec import parse_function, parse_serving
from soulbox.kinds.sandbox_class.decide.limits import object_to_function
from soulbox.kinds.sandbox_class.lookup import find_class
from soulbox.model.errors import InvalidManifest, JudgeUnavailable
from soulbox.model.functions import FunctionSpec
from soulbox.model.manifests import Manifest, is_deleting
from soulbox.model.specs import CodeMissing, CodeSource
from soulbox.model.states import Kind
from soulbox.pure.actions import PostEvent, WriteStatus
from soulbox.pure.failing import failing_event
from soulbox.reconcile.aside import Aside
from soulbox.reconcile.failing import Failure
from soulbox.reconcile.keys import KeyReader
from soulbox.reconcile.services import Services
from soulbox.reconcile.writes import is_quota, write_status

# ConfigMaps and Secrets are not watched: what codeFrom names is read again after so long, and
# so is what unfinished calls keep from being withdrawn.
_LOOK_AGAIN_SECONDS: Final = 60.0
# Functions that are called at about the same time (a guess); some 300 bytes each.
_REMEMBERED: Final = 4_096


class Verdict(Protocol):
    """What the judge says."""

    @property
    def good(self) -> bool:
        """Nothing to object."""
        ...

    @property
    def message(self) -> str:
        """All problems in one line."""
        ...


class SchemaJudge(Protocol):
    """The judge, as far as Functions are published."""

    async def check_schema(
        self, schema: Any, *, owner: str, field: str, object_at_top: bool = False
    ) -> Verdict:
        """Whether a schema can be published. Raises Retryable where nobody is to blame."""
        ...


class _JudgedLaterError(Exception):
    """The judge has not answered yet."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """What speaks against its schemas; None: nothing."""

    objection: Objection | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What a Function's content was."""

    generation: int
    at_seconds: float
    code_sha256: str
    content: str

    def is_of(self, generation: int, now_seconds: float, spec: FunctionSpec) -> bool:
        """Whether it still holds: code that lies elsewhere may change any time."""
        is_fresh = abs(now_seconds - self.at_seconds) < _LOOK_AGAIN_SECONDS
        return self.generation == generation and (spec.code_from is None or is_fresh)


class FunctionReconciler:
    """One pass at a time for each uid (the queue sees to that)."""

    def __init__(
        self,
        services: Services,
        calls: WaitingCalls,
        boxes: FunctionBoxes,
        revisions: Revisions,
        judge: SchemaJudge,
    ) -> None:
        """Args:
        calls: Executions that call Functions.
        boxes: the Functions' own Sandboxes.
        revisions: versions that were read, to forget those that are withdrawn.
        """
        self._services = services
        self._calls = calls
        self._boxes = boxes
        self._revisions = revisions
        self._judge = judge
        self._keys = KeyReader(services.kube, services.clock)
        self._publisher = Publisher(services.kube)
        self._judging = Aside[_Judged](
            services.spawn, lambda uid: services.enqueue(Kind.FUNCTION, uid)
        )
        # By uid, what its content was; of those looked at last.
        self._contents: OrderedDict[str, _Known] = OrderedDict()

    async def reconcile(self, uid: str) -> float | None:
        """Observe, decide, publish, write. Returns seconds after which to look again, or None.

        Raises Retryable when the API server cannot answer now.
        """
        manifest = self._services.cache.get(Kind.FUNCTION, uid)
        if manifest is None or is_deleting(manifest):
            self._judging.forget(uid)
            self._boxes.forget(uid)
            return None
        seen = await self._observe(manifest)
        try:
            current, objection = await self._place(seen, manifest)
        except (_JudgedLaterError, JudgeUnavailable) as error:
            kept = await self._keep_boxes(manifest, seen, None, seen.versions)
            if isinstance(error, JudgeUnavailable):
                raise
            return kept.look_again_seconds  # the judge's answer brings the key back
        versions, published = seen.versions, seen.published
        if isinstance(current, Published) and await self._is_lost(seen, current):
            current = New(current.version, current.revision)
        if isinstance(current, New):
            assert isinstance(seen.code, Code)
            if self._contents.pop(uid, None) is not None:
                return 0.0  # known by its hash only: read it again, then publish
            ordinal = published + 1
            made = await self._publisher.publish(
                manifest, current, ordinal, seen.code, seen.content
            )
            if isinstance(made, Objection):
                current, objection = None, made
            else:
                current, published = made, max(ordinal, made.ordinal)
                versions = with_new(versions, made)
        withdrawn = await self._withdraw(seen, current, versions)
        kept = await self._keep_boxes(manifest, seen, current, without(versions, withdrawn))
        objection = objection or _of_boxes(kept)
        if isinstance(current, Published):
            self._remember(seen)
        await self._tell(manifest, seen, current, versions, withdrawn, published, objection)
        after = _look_again(seen, objection, len(versions) - len(withdrawn))
        both = [one for one in (after, kept.look_again_seconds) if one is not None]
        return min(both, default=None)

    async def actions_of_failing(self, manifest: Manifest, failure: Failure) -> Sequence[PostEvent]:
        """An Event; the status goes on saying what can be called. Calls that wait for a Sandbox
        end in time with the same words."""
        self._boxes.failing(manifest["metadata"]["uid"], failure.words, failure.seconds)
        return (failing_event(failure.message),) if failure.is_due else ()

    async def _observe(self, manifest: Manifest) -> SeenFunction:
        metadata, status = manifest["metadata"], manifest.get("status") or {}
        spec = self._services.specs.of(manifest, parse_function)
        versions = published_of(status) or await self._publisher.held(manifest)
        code: Code | CodeMissing | None = None
        content, has_class, class_objection = "", True, ""
        in_use: frozenset[str] = frozenset()
        if not isinstance(spec, InvalidManifest):
            code, content = await self._content(manifest, spec)
            has_class, class_objection = self._class(spec)
            if len(versions) > spec.revision_history_limit:  # else none is withdrawn
                in_use = revisions_in_use(
                    self._calls, metadata["namespace"], metadata["name"], versions
                )
        return SeenFunction(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            generation=metadata.get("generation", 1),
            status=status,
            spec=spec,
            code=code,
            content=content,
            versions=versions,
            withdrawn=withdrawn_of(status),
            published=counted(status, versions),
            has_class=has_class,
            class_objection=class_objection,
            in_use=in_use,
            ready_boxes=self._boxes.ready(metadata["uid"], metadata["namespace"]),
        )

    async def _content(
        self, manifest: Manifest, spec: FunctionSpec
    ) -> tuple[Code | CodeMissing, str]:
        """Its code and the hash of all that runs. A Function is looked at with each call that
        waits for a Sandbox: what is known of this generation is not read and hashed again."""
        metadata = manifest["metadata"]
        uid, generation = metadata["uid"], metadata.get("generation", 1)
        now_seconds = self._services.clock.now().timestamp()
        known = self._contents.get(uid)
        if known is not None and known.is_of(generation, now_seconds, spec):
            return Code(text=None, sha256=known.code_sha256), known.content
        self._contents.pop(uid, None)
        code = await self._code(metadata["namespace"], spec)
        if isinstance(code, CodeMissing):
            return code, ""
        return code, content_sha256(manifest["spec"], code.sha256)

    async def _is_lost(self, seen: SeenFunction, current: Published) -> bool:
        """Whether somebody deleted the ControllerRevision of what the spec is: it is made again.
        Asked when a content is new to this operator."""
        if seen.uid in self._contents:
            return False
        try:
            return await self._revisions.read(seen.namespace, current.revision) is None
        except InvalidManifest:
            return True  # somebody else's in its place, which is told when it is made again

    def _remember(self, seen: SeenFunction) -> None:
        """What is published needs no second look, for a while."""
        if isinstance(seen.code, Code) and seen.uid not in self._contents:
            self._contents[seen.uid] = _Known(
                seen.generation,
                self._services.clock.now().timestamp(),
                seen.code.sha256,
                seen.content,
            )
            if len(self._contents) > _REMEMBERED:
                self._contents.popitem(last=False)

    async def _keep_boxes(
        self,
        manifest: Manifest,
        seen: SeenFunction,
        current: Published | None,
        versions: tuple[Published, ...],
    ) -> Kept:
        """As many Sandboxes as its calls want, of a Function whose newest spec is malformed too."""
        serving = self._services.specs.of(manifest, parse_serving)
        if isinstance(serving, InvalidManifest):
            return Kept(None, None)
        told = str(seen.status.get("version") or "") if current is None else current.version
        return await self._boxes.keep(
            manifest, serving, {one.version: one.revision for one in versions}, told
        )

    async def _code(self, namespace: str, spec: FunctionSpec) -> Code | CodeMissing:
        if spec.code_from is None:
            return code_of(spec.code or "")
        found = await self._keys.read_key(namespace, spec.code_from, "spec.codeFrom")
        if isinstance(found, CodeMissing):
            return found
        return code_of(*found, secret=spec.code_from.source is CodeSource.SECRET)

    def _class(self, spec: FunctionSpec) -> tuple[bool, str]:
        """Whether the class is there, and what it objects to."""
        sandbox_class, problem = find_class(self._services, spec.class_name)
        if sandbox_class is None:
            return bool(problem), problem
        return True, object_to_function(spec, sandbox_class, spec.class_name)

    async def _place(
        self, seen: SeenFunction, manifest: Manifest
    ) -> tuple[Published | New | None, Objection | None]:
        """Which version it is, and what is wrong. A new one against which something speaks is
        none, while one that is published is current even if its class is away."""
        objection = objections.to_content(seen)
        if objection is not None or not isinstance(seen.spec, FunctionSpec):
            return None, objection
        found = find_version(seen, seen.spec)
        objection = objections.to_version(seen, seen.spec, found)
        if isinstance(found, Current):
            return found.entry, objection
        if objection is None:
            metadata = manifest["metadata"]
            judged = await self._judging.answer(
                metadata["uid"], metadata.get("generation", 1), lambda: self._judged(manifest)
            )
            if judged is None:
                raise _JudgedLaterError
            objection = judged.objection
        return (found, None) if objection is None and isinstance(found, New) else (None, objection)

    async def _judged(self, manifest: Manifest) -> _Judged:
        """What speaks against its schemas."""
        spec, owner = manifest["spec"], manifest["metadata"]["namespace"]
        problems = []
        for field in ("inputSchema", "outputSchema"):
            if field in spec:
                verdict = await self._judge.check_schema(
                    spec[field], owner=owner, field=field, object_at_top=field == "inputSchema"
                )
                if not verdict.good:
                    problems.append(verdict.message)
        return _Judged(objections.of_schema("; ".join(problems)) if problems else None)

    async def _withdraw(
        self, seen: SeenFunction, current: Published | None, versions: tuple[Published, ...]
    ) -> tuple[Published, ...]:
        """Deleted before the status says so: what is listed and cannot be called is found out by
        the call, what is not listed would be found by nobody."""
        if current is None or not isinstance(seen.spec, FunctionSpec):
            return ()
        limit = seen.spec.revision_history_limit
        withdrawn = to_withdraw(versions, current, limit, seen.in_use)
        for one in withdrawn:
            await self._publisher.withdraw(seen.namespace, one.revision)
            self._revisions.forget(seen.namespace, one.revision)
        return withdrawn

    async def _tell(
        self,
        manifest: Manifest,
        seen: SeenFunction,
        current: Published | None,
        versions: tuple[Published, ...],
        withdrawn: tuple[Published, ...],
        published: int,
        objection: Objection | None,
    ) -> None:
        services = self._services
        told = report(
            seen,
            current=current,
            versions=versions,
            withdrawn=withdrawn,
            published=published,
            objection=objection,
            now=services.clock.now(),
        )
        for action in told:
            if isinstance(action, WriteStatus):
                manifest = await write_status(services, Kind.FUNCTION, manifest, action.status)
            else:
                services.events.post(manifest, Kind.FUNCTION, action)


def _of_boxes(kept: Kept) -> Objection | None:
    """What speaks against more Sandboxes."""
    if kept.refused is None:
        return None
    refused = kept.refused
    return objections.of_refusal(BOX_OF_CALLS, refused.message, is_quota=is_quota(refused))


def _look_again(seen: SeenFunction, objection: Objection | None, left: int) -> float | None:
    if objection is not None and objection.again_seconds is not None:
        return objection.again_seconds
    if not isinstance(seen.spec, FunctionSpec):
        return None
    is_over = left > seen.spec.revision_history_limit + 1
    return _LOOK_AGAIN_SECONDS if seen.spec.code_from is not None or is_over else None
