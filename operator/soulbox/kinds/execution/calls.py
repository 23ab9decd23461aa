"""Calls of Functions: which version, with what, and whether the judge objects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from soulbox.judge.judge import Judge
from soulbox.judge.verdicts import Verdict
from soulbox.kinds.execution.decide.seen import Callee, CallProblem, ResultVerdict
from soulbox.kinds.execution.memory import ExecutionMemory
from soulbox.kinds.function.revisions import Revisions
from soulbox.kinds.function.spec import parse_serving
from soulbox.model.errors import InvalidManifest, JudgeUnavailable
from soulbox.model.functions import DEFAULT_TTL_SECONDS, FunctionSpec, Revision, Schema, Serving
from soulbox.model.keys import REVISION_ANNOTATION
from soulbox.model.manifests import Manifest, is_deleting, is_finished, sandbox_ref
from soulbox.model.marks import dispatch_mark, is_dispatched
from soulbox.model.runs import ResultValue, RunDocument
from soulbox.model.specs import ExecutionSpec, FunctionRef
from soulbox.model.states import ExecutionReason, Kind, RunOutcome
from soulbox.reconcile.services import Services

# Of a program that was given none.
_NO_INPUT: Final = b"null"
# The judge's word on a result is waited for so long: a judge that is killed is back in 0.1 s, one
# that hangs is replaced after 10 s.
_JUDGE_SECONDS: Final = 60.0
_NO_ANSWER: Final = "the judge gave no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a call came to.

    Attributes:
        callee: what is called, or why nothing can be.
        spec: of the Execution, with what the Function says laid under it. Where it runs is not in
            it, but for a Function whose calls have pods of their own.
        revision: None: it is not known (any more).
    """

    callee: Callee | CallProblem
    spec: ExecutionSpec
    revision: Revision | None = None

    @property
    def longest_seconds(self) -> int:
        """How long it may run: as long as others of its version at least, for which Sandboxes are
        kept or let go."""
        published = 0 if self.revision is None else self.revision.spec.timeout_seconds
        return max(published, self.spec.timeout_seconds or 0)


class Calls:
    """Asks the API server for versions, and the judge for inputs. For one event loop."""

    def __init__(
        self,
        services: Services,
        memory: ExecutionMemory,
        revisions: Revisions,
        judge: Judge,
    ) -> None:
        self._services = services
        self._memory = memory
        self._revisions = revisions
        self._judge = judge

    async def resolve(self, manifest: Manifest, spec: ExecutionSpec, called: FunctionRef) -> Call:
        """What is called, as of now; once it was dispatched the version that was.

        Raises:
            JudgeUnavailable, KubeUnavailable: it cannot be said now.
        """
        if is_finished(manifest):
            return self._finished(manifest, spec, called)
        metadata = manifest["metadata"]
        dispatched = (metadata.get("annotations") or {}).get(REVISION_ANNOTATION)
        _, attempts = dispatch_mark(metadata)  # a copy brings annotations along, and has not run
        if dispatched is not None and attempts:
            return await self._dispatched(manifest, str(dispatched), spec, called)
        found = await self._current(metadata["namespace"], called)
        if isinstance(found, CallProblem):
            function = self._services.cache.by_name(
                Kind.FUNCTION, metadata["namespace"], called.name
            )
            uid = "" if function is None else function["metadata"]["uid"]
            return Call(callee=replace(found, function_uid=uid), spec=spec)
        revision, known = found
        one_shot, waits = self._is_apart(metadata, known), ""
        if not (spec.cancel or is_deleting(manifest)):  # its end waits for no judge
            objection = await self._object_to_input(metadata["uid"], spec, revision)
            if isinstance(objection, CallProblem):
                return Call(callee=objection, spec=spec, revision=revision)
            waits = objection
        return Call(
            callee=_callee(revision, one_shot=one_shot, waits=waits),
            spec=_with_function(spec, revision.spec, known, one_shot=one_shot),
            revision=revision,
        )

    def _finished(self, manifest: Manifest, spec: ExecutionSpec, called: FunctionRef) -> Call:
        """Nothing is called any more; how long it is kept the Function says, whatever became of
        the version, and of the call."""
        status = manifest.get("status") or {}
        seconds = spec.ttl_seconds_after_finished
        if seconds is None:
            function = self._function(manifest["metadata"]["namespace"], called.name)
            seconds = (
                DEFAULT_TTL_SECONDS
                if isinstance(function, CallProblem)
                else function[1].ttl_seconds_after_finished
            )
        callee = Callee(
            function_uid=str(status.get("functionUID") or ""),
            name=called.name,
            version=str(status.get("functionVersion") or ""),
            revision=str(status.get("revision") or ""),
            one_shot=sandbox_ref(manifest) is None,
        )
        return Call(callee=callee, spec=replace(spec, ttl_seconds_after_finished=seconds))

    async def _dispatched(
        self, manifest: Manifest, name: str, spec: ExecutionSpec, called: FunctionRef
    ) -> Call:
        """The version it was dispatched with, for another attempt too."""
        metadata = manifest["metadata"]
        namespace, runs = metadata["namespace"], is_dispatched(manifest)
        try:
            revision = await self._revisions.read(namespace, name)
        except InvalidManifest:
            revision = None
        function = self._function(namespace, called.name)
        if revision is None and not runs:
            return Call(callee=_not_again(called, name), spec=spec)
        one_shot = sandbox_ref(manifest) is None
        if revision is None:  # withdrawn since: its run goes on
            callee = Callee(
                function_uid="",
                name=called.name,
                version=called.version or "",
                revision=name,
                one_shot=one_shot,
            )
            return Call(callee=callee, spec=spec)
        if isinstance(function, CallProblem):
            known = Serving()
            if not runs:
                return Call(callee=function, spec=spec)
        else:
            known = function[1]
        if not runs:
            one_shot = self._is_apart(metadata, known)
        return Call(
            callee=_callee(revision, one_shot=one_shot),
            spec=_with_function(spec, revision.spec, known, one_shot=one_shot),
            revision=revision,
        )

    def _is_apart(self, metadata: Mapping[str, Any], known: Serving) -> bool:
        """Whether a call has a pod of its own: one that was made for it is used."""
        own = self._services.pods.of(metadata["uid"], metadata["namespace"])
        return known.scale.max == 0 or bool(own)

    def _function(self, namespace: str, name: str) -> tuple[Manifest, Serving] | CallProblem:
        manifest = self._services.cache.by_name(Kind.FUNCTION, namespace, name)
        if manifest is None or is_deleting(manifest):
            return CallProblem(
                reason=ExecutionReason.FUNCTION_NOT_FOUND,
                message=(
                    f'Function "{name}" does not exist in namespace "{namespace}"; create it, or '
                    "correct spec.functionRef.name in a new Execution."
                ),
                may_pass=True,
            )
        serving = self._services.specs.of(manifest, parse_serving)
        if isinstance(serving, InvalidManifest):
            return CallProblem(
                reason=ExecutionReason.INVALID_SPEC, message=f'Function "{name}": {serving}'
            )
        return manifest, serving

    async def _current(
        self, namespace: str, called: FunctionRef
    ) -> tuple[Revision, Serving] | CallProblem:
        found = self._function(namespace, called.name)
        if isinstance(found, CallProblem):
            return found
        manifest, serving = found
        if serving.suspend:
            return CallProblem(
                reason=ExecutionReason.FUNCTION_SUSPENDED,
                message=f'Function "{called.name}" is suspended (spec.suspend): it takes no calls.',
            )
        status = manifest.get("status") or {}
        versions = {each["version"]: each["revision"] for each in status.get("versions") or ()}
        version = called.version or str(status.get("version") or "")
        if version not in versions:
            is_late = status.get("observedGeneration") != manifest["metadata"].get("generation")
            return _no_such_version(called, status, list(versions), may_pass=is_late)
        try:
            revision = await self._revisions.read(namespace, versions[version])
        except InvalidManifest as error:
            return CallProblem(
                reason=ExecutionReason.VERSION_NOT_FOUND,
                message=f'Version {version} of Function "{called.name}" cannot be read: {error}',
            )
        if revision is None or revision.function_uid != manifest["metadata"]["uid"]:
            return _no_such_version(called, status, list(versions), may_pass=True)
        return revision, serving

    async def _object_to_input(
        self, uid: str, spec: ExecutionSpec, revision: Revision
    ) -> CallProblem | str:
        """What is wrong with it, or why that is not known yet; "" nothing is."""
        schema = revision.spec.input_schema
        if schema is None or self._memory.judged.get(uid) == revision.name:
            return ""
        document = _NO_INPUT if spec.input is None else spec.input.encode()
        waited = self._unjudged_seconds(uid)
        why = _NO_ANSWER
        try:
            verdict = await self._verdict(uid, document, schema, revision, "input", "inputSchema")
        except JudgeUnavailable as error:
            if waited < _JUDGE_SECONDS:
                raise
            verdict, why = None, str(error)
        if verdict is None:
            if waited < _JUDGE_SECONDS:
                return "Waiting for its input to be judged by inputSchema."
            message = f"Its input could not be judged by inputSchema: {why} for {waited:.0f} s"
            return _not_called(ExecutionReason.START_FAILED, message, revision)
        self._memory.unjudged_since.pop(uid, None)
        if not verdict.good:
            return _not_called(ExecutionReason.INPUT_INVALID, verdict.message, revision)
        self._memory.judged[uid] = revision.name
        return ""

    def _unjudged_seconds(self, uid: str) -> float:
        """For how long the judge's word on it is missing."""
        now_seconds = self._services.clock.now().timestamp()
        return now_seconds - self._memory.unjudged_since.setdefault(uid, now_seconds)

    async def result_verdict(self, uid: str, call: Call, run: RunDocument) -> ResultVerdict:
        """What the judge says of the result of a run that ended well, by outputSchema."""
        schema = None if call.revision is None else call.revision.spec.output_schema
        ended_well = (
            run.result is not None
            and run.result.outcome is RunOutcome.EXITED
            and run.result.exit_code == 0
        )
        if schema is None or call.revision is None or not ended_well:
            return ResultVerdict()
        if run.left is None:
            return ResultVerdict(
                objection="The program left no result, which outputSchema asks for"
            )
        if not isinstance(run.left, ResultValue):
            return ResultVerdict()  # its own words tell
        waited = self._unjudged_seconds(uid)
        why = _NO_ANSWER
        try:
            verdict = await self._verdict(
                uid, run.left.value, schema, call.revision, "result", "outputSchema"
            )
        except JudgeUnavailable as error:
            verdict, why = None, str(error)
        if verdict is not None:
            self._memory.unjudged_since.pop(uid, None)
            return ResultVerdict(objection="" if verdict.good else verdict.message)
        if waited < _JUDGE_SECONDS:
            return ResultVerdict(waited_seconds=waited)
        return ResultVerdict(unjudged=f"{why} for {waited:.0f} s")

    async def _verdict(
        self, uid: str, document: Any, schema: Schema, revision: Revision, name: str, field: str
    ) -> Verdict | None:
        """The judge's; None: it is not there yet, and the key is queued when it is."""
        return await self._memory.judging.answer(
            uid,
            (name, revision.name),
            lambda: self._judge.validate(
                document, schema, owner=revision.namespace, name=name, field=field
            ),
        )


def _not_called(reason: ExecutionReason, message: str, revision: Revision) -> CallProblem:
    return CallProblem(
        reason=reason,
        message=f"{message}. None of its code ran.",
        function_uid=revision.function_uid,
        version=revision.version,
        revision=revision.name,
    )


def _not_again(called: FunctionRef, revision: str) -> CallProblem:
    return CallProblem(
        reason=ExecutionReason.VERSION_NOT_FOUND,
        message=(
            f'Its attempt was lost, and ControllerRevision "{revision}" of Function '
            f'"{called.name}", which it ran, is gone: it cannot be run again. Call the Function '
            "in a new Execution."
        ),
    )


def _callee(revision: Revision, *, one_shot: bool, waits: str = "") -> Callee:
    return Callee(
        function_uid=revision.function_uid,
        name=revision.function_name,
        version=revision.version,
        revision=revision.name,
        one_shot=one_shot,
        code_sha256=revision.code_sha256,
        waits=waits,
    )


def _with_function(
    spec: ExecutionSpec, published: FunctionSpec, serving: Serving, *, one_shot: bool
) -> ExecutionSpec:
    """What a call says, over what the Function does."""
    own = {variable.name for variable in spec.env}
    ttl = spec.ttl_seconds_after_finished
    return replace(
        spec,
        class_name=published.class_name if one_shot else None,
        resources=published.resources if one_shot else spec.resources,
        language=published.language,
        code=published.code,
        code_from=published.code_from,
        files=published.files,
        handler=published.handler,
        env=(*(one for one in published.env if one.name not in own), *spec.env),
        timeout_seconds=spec.timeout_seconds or published.timeout_seconds,
        idempotent=spec.idempotent or published.idempotent,
        ttl_seconds_after_finished=serving.ttl_seconds_after_finished if ttl is None else ttl,
        user=serving.user if spec.user is None else spec.user,
    )


def _no_such_version(
    called: FunctionRef, status: Mapping[str, Any], known: list[str], *, may_pass: bool
) -> CallProblem:
    if not known:
        words = str(status.get("message") or "it was not published yet")
        return CallProblem(
            reason=ExecutionReason.VERSION_NOT_FOUND,
            message=f'Function "{called.name}" has no version that can be called: {words}',
            may_pass=True,
        )
    return CallProblem(
        reason=ExecutionReason.VERSION_NOT_FOUND,
        message=(
            f'Function "{called.name}" has no version {called.version or "that is current"}; '
            f"there are {', '.join(known)}{_withdrawn(called, status)}."
        ),
        may_pass=may_pass,
    )


def _withdrawn(called: FunctionRef, status: Mapping[str, Any]) -> str:
    """That the version was there, and since when it is not."""
    for each in status.get("withdrawn") or ():
        if each.get("version") == called.version:
            day = str(each.get("withdrawnTime") or "")[:10]
            return f" ({called.version} was withdrawn{f' on {day}' if day else ''})"
    return ""
