"""Reconciling Executions: applying what was decided."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from soulbox.kinds.execution.collect import OutputCollector
from soulbox.kinds.execution.decide.actions import (
    Action,
    CancelRun,
    CollectOutput,
    DeleteObject,
    Dispatch,
    FollowRun,
    ForgetDispatch,
    ReleaseRun,
)
from soulbox.kinds.execution.decide.decision import decide_execution, give_up
from soulbox.kinds.execution.decide.failing import failing_execution
from soulbox.kinds.execution.decide.fit import bare_status, shrink_status
from soulbox.kinds.execution.decide.seen import RunProblem, SeenExecution
from soulbox.kinds.execution.index import queue_of
from soulbox.kinds.execution.memory import ExecutionMemory
from soulbox.kinds.execution.observe import ExecutionObserver
from soulbox.kinds.execution.receipt import write_terms
from soulbox.kinds.execution.runs import RunFollower
from soulbox.kinds.sandbox_class.decide.limits import execution_limits
from soulbox.kube.resources import EXECUTIONS
from soulbox.kube.slim import is_applied
from soulbox.model.errors import HostileReply, KubeNotFound, KubeRefused, RunnerRefused
from soulbox.model.keys import (
    CODE_SHA256_ANNOTATION,
    DISPATCHED_ANNOTATION,
    FUNCTION_UID_LABEL,
    REVISION_ANNOTATION,
    SANDBOX_ANNOTATION,
    SANDBOX_UID_LABEL,
    TERMS_ANNOTATION,
)
from soulbox.model.manifests import finalizers_with_ours
from soulbox.model.marks import write_mark
from soulbox.model.specs import NO_NETWORK, ExecutionSpec
from soulbox.model.states import ExecutionReason, ExecutionState, Kind
from soulbox.pure.actions import CreatePod, SharedAction, WriteStatus
from soulbox.pure.failing import given_up_message
from soulbox.pure.pods.plan import PodOwner, PodPlan
from soulbox.pure.pods.view import PodPhase
from soulbox.reconcile.apply import apply_shared
from soulbox.reconcile.failing import Failure
from soulbox.reconcile.orphans import clear_orphans
from soulbox.reconcile.probe import RunnerProbe
from soulbox.reconcile.services import Services, address_of, runner_error_code
from soulbox.reconcile.writes import (
    NameTaken,
    PolicyRefused,
    create_pod,
    is_quota,
    patch_metadata,
    write_status,
)
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

_REFUSED_RETRY_SECONDS = 5.0
# The documented word to the API server to keep no record of who set which field. Keeping it
# takes a quarter of its CPU for an Execution's writes (docs/decisions/0056).
_FORGET_MANAGERS: list[dict[str, str]] = [{}]


class ExecutionReconciler:
    """One pass at a time for each uid (the queue sees to that)."""

    def __init__(
        self,
        services: Services,
        memory: ExecutionMemory,
        observer: ExecutionObserver,
        runs: RunFollower,
        probe: RunnerProbe,
    ) -> None:
        self._services = services
        self._memory = memory
        self._observer = observer
        self._runs = runs
        self._probe = probe
        self._collector = OutputCollector(services, memory)

    async def reconcile(self, uid: str) -> float | None:
        """Observe, decide, apply. Returns seconds after which to look again, or None.

        Raises Retryable when the API server or a runner cannot answer now.
        """
        services = self._services
        manifest = services.cache.get(Kind.EXECUTION, uid)
        if manifest is None:
            self._forget(uid)
            await clear_orphans(services, uid)
            return None
        seen = await self._observer.observe(manifest)
        if seen.state.is_final and (seen.pod is None or seen.pod.phase is PodPhase.ENDED):
            self._runs.forget(uid)  # nothing is left to be fetched or released
        decision = decide_execution(seen, services.clock.now())
        current = manifest
        try:
            for action in decision.actions:
                current = await self._apply(action, current, seen)
        except PolicyRefused as error:
            quota = ExecutionReason.QUOTA_EXCEEDED if error.is_quota else None
            reason = quota or ExecutionReason.START_FAILED
            self._refused(uid, RunProblem(reason=reason, message=str(error)))
        if seen.verdict.unjudged:
            self._tell_unjudged(seen)
        if uid in self._memory.refusals:
            return _REFUSED_RETRY_SECONDS
        return decision.requeue_after_seconds

    def _tell_unjudged(self, seen: SeenExecution) -> None:
        self._services.metrics.result_unjudged()
        _log.warning(
            "result not judged by outputSchema",
            action="judge",
            namespace=seen.namespace,
            name=seen.name,
            uid=seen.uid,
            error=seen.verdict.unjudged[:256],
        )

    async def actions_of_failing(
        self, manifest: Mapping[str, Any], failure: Failure
    ) -> Sequence[object]:
        """See `reconcile.failing.Failing`. One that cannot be started for so long ends."""
        services = self._services
        if failure.seconds >= services.sandbox_not_found_seconds:
            last = given_up_message(failure.words, failure.seconds)
            end = give_up(await self._as_far_as_seen(manifest), last, services.clock.now())
            if end:
                return end
        return failing_execution(manifest, failure.message) if failure.is_due else ()

    async def _as_far_as_seen(self, manifest: Mapping[str, Any]) -> SeenExecution:
        """As much as its end needs; to look at the rest may be what fails."""
        try:
            return await self._observer.observe(manifest)
        except Exception:  # whatever it is, it must not keep the Execution for ever
            return self._observer.glimpse(manifest)

    def _forget(self, uid: str) -> None:
        self._runs.forget(uid)
        self._collector.forget(uid)
        self._memory.forget(uid)

    async def _apply(
        self, action: Action, manifest: Mapping[str, Any], seen: SeenExecution
    ) -> Mapping[str, Any]:
        """Carry out one action; the Execution as it is afterwards."""
        services = self._services
        if isinstance(action, SharedAction):
            return await apply_shared(services, self._probe, Kind.EXECUTION, action, manifest)
        match action:
            case CreatePod():
                await self._create_pod(action, seen)
            case Dispatch():
                return await self._dispatch(action, manifest, seen)
            case ForgetDispatch():
                return await self._forget_dispatch(action, manifest)
            case FollowRun():
                await self._follow(action, seen)
            case CancelRun():
                await self._cancel(action, seen.uid)
            case CollectOutput():
                self._collector.collect(action, seen)
            case ReleaseRun():
                await self._release(action, seen.uid)
            case WriteStatus():
                return await self._write_status(manifest, action.status)
            case DeleteObject():
                await services.kube.delete(EXECUTIONS, seen.name, seen.namespace, uid=seen.uid)
            case _ as never:
                assert_never(never)
        return manifest

    async def _dispatch(
        self, action: Dispatch, manifest: Mapping[str, Any], seen: SeenExecution
    ) -> Mapping[str, Any]:
        mark = write_mark(action.pod_uid, action.attempt, seen.uid)
        metadata: dict[str, Any] = {
            "finalizers": finalizers_with_ours(manifest),
            "annotations": {
                DISPATCHED_ANNOTATION: mark,
                TERMS_ANNOTATION: write_terms(action.terms, mark),
            },
        }
        if action.code_sha256 is not None:
            metadata["annotations"][CODE_SHA256_ANNOTATION] = action.code_sha256
        if action.callee is not None:
            metadata["annotations"][REVISION_ANNOTATION] = action.callee.revision
            metadata["annotations"][SANDBOX_ANNOTATION] = _sandbox_name(seen)
        labels = manifest["metadata"].get("labels") or {}
        if action.sandbox_uid is not None or SANDBOX_UID_LABEL in labels:  # a copy brings one along
            metadata["labels"] = {SANDBOX_UID_LABEL: action.sandbox_uid}
        if action.callee is not None:
            metadata.setdefault("labels", {})[FUNCTION_UID_LABEL] = action.callee.function_uid
        if not is_applied(manifest):
            metadata["managedFields"] = _FORGET_MANAGERS
        services = self._services
        # What was heard of an earlier attempt is not this one's.
        self._runs.forget(seen.uid)
        name = _sandbox_name(seen)
        if not isinstance(seen.spec, ExecutionSpec) or name is None:
            updated = await patch_metadata(services, Kind.EXECUTION, manifest, metadata)
        else:
            # From here, before anything is awaited, nobody else may take its place.
            sandbox = (seen.namespace, name)
            queue = queue_of(manifest)
            user = str(manifest["spec"].get("user") or "")  # as the queue has it
            self._memory.turns.claim(seen.uid, sandbox, user, queue)
            try:
                updated = await patch_metadata(services, Kind.EXECUTION, manifest, metadata)
            finally:
                self._memory.turns.settle(seen.uid, sandbox, queue)
        self._memory.dispatched_at[seen.uid] = services.clock.now()
        return updated

    async def _forget_dispatch(
        self, action: ForgetDispatch, manifest: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        uid = manifest["metadata"]["uid"]
        mark = write_mark("", action.attempts, uid)
        metadata = {"annotations": {DISPATCHED_ANNOTATION: mark, TERMS_ANNOTATION: None}}
        updated = await patch_metadata(self._services, Kind.EXECUTION, manifest, metadata)
        self._runs.forget(uid)
        return updated

    async def _follow(self, action: FollowRun, seen: SeenExecution) -> None:
        pod = self._services.cache.get(Kind.POD, action.pod_uid)
        address = None if pod is None else address_of(pod)
        if address is None:
            return
        if action.may_start and self._runs.is_starting(seen.uid):
            return
        request = None
        if action.may_start:
            request = await self._observer.start_request(seen)
        self._runs.follow(seen.uid, address, action.attempt, request)

    async def _cancel(self, action: CancelRun, uid: str) -> None:
        pod = self._services.cache.get(Kind.POD, action.pod_uid)
        address = None if pod is None else address_of(pod)
        if address is None:
            return
        try:
            await self._services.runner.cancel(address, uid, action.attempt)
        except (RunnerRefused, HostileReply) as error:
            # NotFound and Released say that there is nothing left to cancel; who follows the
            # run judges a runner that lies.
            self._services.metrics.runner_error(runner_error_code(error))

    async def _release(self, action: ReleaseRun, uid: str) -> None:
        pod = self._services.cache.get(Kind.POD, action.pod_uid)
        address = None if pod is None else address_of(pod)
        if address is not None:
            try:
                await self._services.runner.release(address, uid, action.attempt)
            except (RunnerRefused, HostileReply) as error:
                # It holds a little space until the pod ends; nothing else depends on it.
                self._services.metrics.runner_error(runner_error_code(error))
        self._forget(uid)

    async def _write_status(
        self, manifest: Mapping[str, Any], status: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        services = self._services
        if "completionTime" in status:
            self._runs.never_start(manifest["metadata"]["uid"])
        try:
            updated = await write_status(services, Kind.EXECUTION, manifest, status)
        except KubeNotFound:
            services.missed(Kind.EXECUTION, manifest["metadata"]["uid"])
            raise
        except KubeRefused as error:
            if error.status not in (400, 413, 422, 500):
                raise
            # Too large, or output the API server will not store: the end counts, the
            # whole output goes to PostgreSQL all the same.
            updated = await self._write_small(manifest, status)
        if status.get("queuePosition") is not None:
            uid = manifest["metadata"]["uid"]
            self._memory.told[uid] = services.clock.now().timestamp()
        if "completionTime" in status:
            self._memory.turns.drop(manifest["metadata"]["uid"])
            self._memory.refusals.drop(manifest["metadata"]["uid"])
            dispatched_at = self._memory.dispatched_at.pop(manifest["metadata"]["uid"], None)
            services.metrics.execution_ended(ExecutionState(status["state"]), status, dispatched_at)
        return updated

    async def _write_small(
        self, manifest: Mapping[str, Any], status: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The same status in less room; the least there may be where that is refused too."""
        small = shrink_status(status)
        try:
            return await write_status(self._services, Kind.EXECUTION, manifest, small)
        except KubeRefused as error:
            if error.status not in (400, 413, 422, 500):
                raise
            bare = bare_status(status)
            left_out = {"result": status["result"]} if "result" in status else None
            return await write_status(
                self._services, Kind.EXECUTION, manifest, bare, recorded=left_out
            )

    async def _create_pod(self, action: CreatePod, seen: SeenExecution) -> None:
        services = self._services
        assert isinstance(seen.spec, ExecutionSpec)
        assert seen.sandbox_class is not None
        plan = PodPlan(
            owner=PodOwner(
                kind=Kind.EXECUTION,
                uid=seen.uid,
                name=seen.name,
                namespace=seen.namespace,
                user=seen.spec.user,
            ),
            incarnation=action.incarnation,
            class_name=seen.class_name,
            sandbox_class=seen.sandbox_class,
            limits=execution_limits(seen.spec, seen.sandbox_class),
            concurrency=1,
            lifetime_seconds=action.lifetime_seconds,
            one_shot=True,
            network_profile=NO_NETWORK,
            public_keys=services.keys.environment,
            key_id=services.keys.key_id,
        )
        try:
            await create_pod(services, plan)
        except NameTaken as error:
            problem = RunProblem(reason=ExecutionReason.START_FAILED, message=str(error))
        except KubeRefused as error:
            reason = (
                ExecutionReason.QUOTA_EXCEEDED if is_quota(error) else ExecutionReason.START_FAILED
            )
            problem = RunProblem(
                reason=reason, message=f"The API server refused its pod: {error.message}"
            )
        else:
            self._memory.refusals.drop(seen.uid)
            return
        self._refused(seen.uid, problem)

    def _refused(self, uid: str, problem: RunProblem) -> None:
        now_seconds = self._services.clock.now().timestamp()
        if self._memory.refusals.note(uid, problem, now_seconds):
            self._services.enqueue(Kind.EXECUTION, uid)


def _sandbox_name(seen: SeenExecution) -> str | None:
    return seen.spec.sandbox_name if isinstance(seen.spec, ExecutionSpec) else None
