"""Reconciling Sandboxes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from soulbox.kinds.base import COUNT_SECONDS, NamingExecutions
from soulbox.kinds.sandbox.decide.actions import Action
from soulbox.kinds.sandbox.decide.decision import decide_sandbox
from soulbox.kinds.sandbox.decide.failing import failing_sandbox
from soulbox.kinds.sandbox.decide.seen import Activity, PodRefusal, SeenSandbox
from soulbox.kinds.sandbox.lives import ShortLives
from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.kinds.sandbox_class.decide.limits import (
    object_to_sandbox,
    sandbox_limits,
    workspace_bytes,
)
from soulbox.kinds.sandbox_class.lookup import find_class
from soulbox.model.errors import KubeRefused
from soulbox.model.keys import SANDBOX_UID_LABEL
from soulbox.model.manifests import has_recorded
from soulbox.model.marks import dispatch_mark
from soulbox.model.specs import NO_NETWORK, SandboxSpec
from soulbox.model.states import ExecutionState, Kind, SandboxReason, SandboxState
from soulbox.model.times import parse_time
from soulbox.pure.actions import (
    AddFinalizer,
    CreatePod,
    EnsureNetworkPolicy,
    SharedAction,
    WriteStatus,
)
from soulbox.pure.pods.claim import ClaimPlan
from soulbox.pure.pods.plan import PodOwner, PodPlan
from soulbox.reconcile.apply import apply_shared
from soulbox.reconcile.failing import Failure
from soulbox.reconcile.orphans import clear_orphans
from soulbox.reconcile.probe import RunnerProbe
from soulbox.reconcile.refusals import Refusals
from soulbox.reconcile.services import Services
from soulbox.reconcile.writes import (
    NameTaken,
    PolicyRefused,
    create_pod,
    ensure_claim,
    is_quota,
    network_policy_is_right,
    write_status,
)

# A refused pod (quota, policy) is tried again: what refused it may change.
_REFUSED_RETRY_SECONDS = 10.0
# Counters and activity are coalesced to one write in so long.


class SandboxReconciler:
    """One pass at a time for each uid (the queue sees to that)."""

    def __init__(
        self,
        services: Services,
        probe: RunnerProbe,
        executions: NamingExecutions,
        claimed: Callable[[tuple[str, str]], int],
    ) -> None:
        """Args:
        claimed: how many Executions are being handed to the Sandbox of that namespace and name
            in this moment.
        """
        self._services = services
        self._probe = probe
        self._executions = executions
        self._claimed = claimed
        # Why the API server refuses their pods.
        self._refusals = Refusals[PodRefusal]()
        # Pods of each Sandbox seen ended, and how many of them in a row lived shortly.
        self._short_lives: dict[str, ShortLives] = {}
        # When each Sandbox's counters were last written, Unix seconds.
        self._counted_at: dict[str, float] = {}

    async def reconcile(self, uid: str) -> float | None:
        """Observe, decide, apply. Returns seconds after which to look again, or None.

        Raises Retryable when the API server or a runner cannot answer now.
        """
        services = self._services
        manifest = services.cache.get(Kind.SANDBOX, uid)
        if manifest is None:
            self._refusals.drop(uid)
            self._counted_at.pop(uid, None)
            self._short_lives.pop(uid, None)
            await clear_orphans(services, uid)
            return None
        seen = self._observe(manifest)
        decision = decide_sandbox(seen, services.clock.now())
        current = manifest
        actions = decision.actions
        match actions:
            case (AddFinalizer() as finalizer, EnsureNetworkPolicy() as policy, *rest):
                current, exists = await self._begin(finalizer, policy, manifest, seen)
                actions = tuple(rest) if exists else (policy, *rest)
        try:
            for action in actions:
                current = await self._apply(action, current, seen)
        except PolicyRefused as error:
            reason = SandboxReason.NETWORK_POLICY_REFUSED
            self._refused(uid, PodRefusal(reason=reason, message=str(error)))
        if uid in self._refusals:
            return _REFUSED_RETRY_SECONDS
        return decision.requeue_after_seconds

    async def actions_of_failing(
        self, manifest: Mapping[str, Any], failure: Failure
    ) -> Sequence[object]:
        """See `reconcile.failing.Failing`."""
        if not failure.is_due:
            return ()
        return failing_sandbox(manifest, failure.message, self._services.clock.now())

    def runner_answered(self, uid: str) -> None:
        """Whatever waits for the Sandbox's runner goes on, as with a new version of the Sandbox. Of
        one whose status said before a restart of the operator that it runs, there is none."""
        sandbox = self._services.cache.get(Kind.SANDBOX, uid)
        if sandbox is not None:
            self._services.wrote(Kind.SANDBOX, sandbox)

    async def _begin(
        self,
        finalizer: AddFinalizer,
        policy: EnsureNetworkPolicy,
        manifest: Mapping[str, Any],
        seen: SeenSandbox,
    ) -> tuple[Mapping[str, Any], bool]:
        """Put the finalizer on while the API server is asked for the network policy: two round
        trips before a pod that do not need each other. The Sandbox then, and whether the
        policy is as it should be."""
        look = network_policy_is_right(self._services, seen.namespace, policy.profile)
        looking = asyncio.ensure_future(look)
        try:
            current = await self._apply(finalizer, manifest, seen)
            return current, await looking
        finally:
            looking.cancel()

    def _observe(self, manifest: Mapping[str, Any]) -> SeenSandbox:
        services = self._services
        metadata = manifest["metadata"]
        uid: str = metadata["uid"]
        spec = services.specs.of(manifest, parse_sandbox)
        sandbox_class, objection = None, ""
        if isinstance(spec, SandboxSpec):
            sandbox_class, objection = find_class(services, spec.class_name)
            if sandbox_class is not None:
                objection = object_to_sandbox(spec, sandbox_class, spec.class_name)
        pods = tuple(services.view(pod) for pod in services.pods.of(uid, metadata["namespace"]))
        pod_uids = {pod.uid for pod in pods}
        sandbox_name = (metadata["namespace"], metadata["name"])
        # What is being handed over in this moment counts too.
        running = self._claimed(sandbox_name) + sum(
            _dispatched_pod(execution) in pod_uids
            for execution in self._executions.unfinished(metadata["namespace"], metadata["name"])
        )
        now_seconds = services.clock.now().timestamp()
        counted_at = self._counted_at.setdefault(uid, now_seconds)
        due = counted_at + COUNT_SECONDS - now_seconds
        lives = self._short_lives.setdefault(uid, ShortLives())
        short_lives = lives.count(pods, services.clock.now())
        created = parse_time(metadata["creationTimestamp"])
        assert created is not None, "the API server sets creationTimestamp"
        return SeenSandbox(
            uid=uid,
            namespace=metadata["namespace"],
            name=metadata["name"],
            generation=metadata.get("generation", 1),
            created_at=created,
            deletion_time=parse_time(metadata.get("deletionTimestamp")),
            has_finalizer=has_recorded(manifest),
            status=manifest.get("status") or {},
            spec=spec,
            sandbox_class=sandbox_class,
            class_objection=objection,
            pods=pods,
            ready_pods=frozenset(pod_uids & services.memory.runner_versions.keys()),
            recorded_pods=frozenset(one for one in pod_uids if services.mirror.is_recorded(one)),
            recorded=services.mirror.is_recorded(uid),
            running_executions=running,
            activity=self._activity(metadata["namespace"], metadata["name"], uid),
            activity_due_seconds=max(0.0, due),
            pod_refusal=self._refusals.get(uid),
            unenforced={
                one: found for one in pod_uids if (found := services.unenforced(one)) is not None
            },
            hurt_pods=frozenset(one for one in pod_uids if services.health.is_hurt(one)),
            namespace_deletion_time=parse_time(
                services.cache.namespace_deletion_time(metadata["namespace"])
            ),
            short_lives=short_lives,
            last_end=lives.last_end,
        )

    async def _apply(
        self, action: Action, manifest: Mapping[str, Any], seen: SeenSandbox
    ) -> Mapping[str, Any]:
        """Carry out one action; the Sandbox as it is afterwards."""
        services = self._services
        if isinstance(action, SharedAction):
            return await apply_shared(services, self._probe, Kind.SANDBOX, action, manifest)
        match action:
            case CreatePod():
                await self._create_pod(action, seen)
            case WriteStatus():
                if "executions" in action.status:
                    self._counted_at[seen.uid] = services.clock.now().timestamp()
                updated = await write_status(services, Kind.SANDBOX, manifest, action.status)
                if _is_first_running(seen, action.status):
                    services.metrics.sandbox_started(seen.created_at, services.clock.now())
                return updated
            case _ as never:
                assert_never(never)
        return manifest

    def _activity(self, namespace: str, name: str, uid: str) -> Activity:
        """Executions that name the Sandbox; those of an earlier one of the name are not its."""
        counts = Counter[str]()
        times = []
        for execution in self._executions.naming(namespace, name):
            metadata = execution["metadata"]
            bound = (metadata.get("labels") or {}).get(SANDBOX_UID_LABEL)
            if not dispatch_mark(metadata)[1]:
                bound = None  # a copy brings the label along
            if bound not in (None, uid):
                continue
            status = execution.get("status") or {}
            state = str(status.get("state", ExecutionState.QUEUED))
            known = ("Queued", "Running", "Completed")
            counts[state.lower() if state in known else "failed"] += 1
            times += [str(status[key]) for key in ("startTime", "completionTime") if key in status]
        return Activity(
            queued=counts["queued"],
            running=counts["running"],
            completed=counts["completed"],
            failed=counts["failed"],
            last_time=max(times, default=None),
        )

    async def _create_pod(self, action: CreatePod, seen: SeenSandbox) -> None:
        services = self._services
        assert isinstance(seen.spec, SandboxSpec)
        assert seen.sandbox_class is not None
        spec, sandbox_class = seen.spec, seen.sandbox_class
        limits = sandbox_limits(spec, sandbox_class)
        if spec.workspace is not None:
            limits = replace(limits, disk_bytes=workspace_bytes(spec, sandbox_class))
        plan = PodPlan(
            owner=PodOwner(
                kind=Kind.SANDBOX,
                uid=seen.uid,
                name=seen.name,
                namespace=seen.namespace,
                user=seen.spec.user,
            ),
            incarnation=action.incarnation,
            class_name=seen.spec.class_name,
            sandbox_class=seen.sandbox_class,
            limits=limits,
            # What the class allows: the Sandbox's own number may change while the pod runs,
            # and is kept by the operator's queue.
            concurrency=seen.sandbox_class.max.concurrency,
            lifetime_seconds=action.lifetime_seconds,
            one_shot=False,
            network_profile=sandbox_class.profile(spec.network) or NO_NETWORK,
            public_keys=services.keys.environment,
            key_id=services.keys.key_id,
        )
        try:
            if spec.workspace is not None:
                claim = ClaimPlan(
                    sandbox_uid=seen.uid,
                    sandbox_name=seen.name,
                    namespace=seen.namespace,
                    size_bytes=limits.disk_bytes,
                    storage_class_name=spec.workspace.storage_class_name,
                )
                plan = replace(plan, claim=await ensure_claim(services, claim))
            await create_pod(services, plan)
        except NameTaken as error:
            refusal = PodRefusal(reason=SandboxReason.NAME_CONFLICT, message=str(error))
        except KubeRefused as error:
            reason = SandboxReason.QUOTA_EXCEEDED if is_quota(error) else SandboxReason.POD_REFUSED
            if plan.claim is None and spec.workspace is not None and not is_quota(error):
                reason = SandboxReason.STORAGE_REFUSED
            refusal = PodRefusal(reason=reason, message=error.message)
        else:
            self._refusals.drop(seen.uid)
            return
        self._refused(seen.uid, refusal)

    def _refused(self, uid: str, refusal: PodRefusal) -> None:
        now_seconds = self._services.clock.now().timestamp()
        if self._refusals.note(uid, refusal, now_seconds):
            self._services.enqueue(Kind.SANDBOX, uid)  # the next pass writes it down


def _dispatched_pod(execution: Mapping[str, Any]) -> str:
    return dispatch_mark(execution["metadata"])[0]


def _is_first_running(seen: SeenSandbox, status: Mapping[str, Any]) -> bool:
    """Whether the status says Running of the first incarnation, and the object does not yet."""
    first_words = (SandboxState.CREATED.value, SandboxState.STARTING.value)
    before = seen.status.get("state", SandboxState.CREATED.value)
    is_running = status.get("state") == SandboxState.RUNNING.value
    return is_running and before in first_words and status.get("incarnation") == 1
