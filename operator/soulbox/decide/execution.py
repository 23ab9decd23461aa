"""What to do next about one Execution. ::

    no annotation:  wait for a place ─> Dispatch (annotation, finalizer) ─> FollowRun
    annotation:     pod lives ─> FollowRun until the runner's document is Finished
                    pod gone  ─> Failed (Lost, OOMKilled, Evicted, …), or, if idempotent,
                                 ForgetDispatch: it waits for a place again
    final:          save the whole output ─> rows committed ─> release the run ─>
                    one-shot pod goes ─> finalizer goes (when deleted) | TTL deletes

The annotation is what makes a run happen once: it is written before the runner is asked,
so after any crash its absence proves that no code has run.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from soulbox.decide.actions import (
    NOTHING,
    Action,
    AddFinalizer,
    CancelRun,
    CollectOutput,
    CreatePod,
    Decision,
    DeleteObject,
    DeletePod,
    Dispatch,
    EnsureNetworkPolicy,
    FollowRun,
    ForgetDispatch,
    PostEvent,
    ProbeRunner,
    ReleasePod,
    ReleaseRun,
    RemoveFinalizer,
    WriteStatus,
)
from soulbox.decide.execution_seen import (
    CodeMissing,
    Dispatched,
    RunProblem,
    SandboxSeen,
    SeenExecution,
    Turn,
)
from soulbox.decide.execution_status import (
    Ending,
    files_to_save,
    final_status,
    lost_status,
    queued_status,
    running_status,
    streams_to_save,
)
from soulbox.decide.outcome import (
    ending_of_pod,
    ending_of_run,
    ending_without_result,
    who_ended,
)
from soulbox.decide.overdue import GRACE_SECONDS, ending_of_overdue, may_run_again, over_seconds
from soulbox.decide.pods import EndCause, PodPhase, PodView
from soulbox.model.errors import InvalidManifest
from soulbox.model.runs import RunDocument
from soulbox.model.specs import MAX_ATTEMPTS, NO_NETWORK, ExecutionSpec
from soulbox.model.states import ExecutionReason, ExecutionState, RunOutcome, RunState, SandboxState
from soulbox.model.times import parse_time

# Below this a wait is normal life and costs no status write (design: Starting and Queued
# are written only when they last).
_QUIET_WAIT_SECONDS = 1.0
# A wait of this length is worth an Event.
_LONG_WAIT_SECONDS = 5.0
# No watch tells of the ConfigMap or Secret that it waits for.
_LOOK_AGAIN_SECONDS = 2.0
# How long a pod that cannot pull its image or start is given: registries and nodes recover.
_TROUBLE_SECONDS = 60.0
# A place in the queue is written when the wait begins, then at most this often: each later
# word comes after five times the wait of the one before: of a thousand each costs four writes.
_PLACE_SECONDS = 30.0
# A one-shot runner exits by itself on release; if it has not by then, its pod is deleted.
_LINGER_SECONDS = 10.0


def decide_execution(seen: SeenExecution, now: datetime) -> Decision:
    """The next actions for one Execution; the same input gives the same answer."""
    decision = _decide(seen, now)
    # Whoever replaces the object by its manifest takes it off.
    had_pod = seen.dispatched is not None or seen.own_pods
    if not seen.has_finalizer and not seen.deleting and (had_pod or seen.state.is_final):
        decision = decision.with_finalizer()
    return decision


def _decide(seen: SeenExecution, now: datetime) -> Decision:
    if seen.state.is_final:
        return _wind_down(seen, now)
    if seen.dispatched is not None:
        return _decide_dispatched(seen, seen.dispatched, now)
    return _decide_waiting(seen, now)


def give_up(seen: SeenExecution, message: str, now: datetime) -> tuple[Action, ...]:
    """The end of one that the operator cannot bring further; nothing where code may have run."""
    if seen.dispatched is not None or seen.state.is_final:
        return ()
    return _finish(seen, _failed(ExecutionReason.START_FAILED, message), now).actions


def _finish(seen: SeenExecution, ending: Ending, now: datetime) -> Decision:
    """Write the final status; without a finalizer yet, that first, so that the row is
    certain even if the object is deleted in the next moment."""
    status = final_status(seen, ending, now)
    normal = ending.state in (ExecutionState.COMPLETED, ExecutionState.CANCELLED)
    actions: list[Action] = []
    if not seen.has_finalizer and not seen.deleting:
        actions.append(AddFinalizer())
    actions += [
        WriteStatus(status=status),
        PostEvent(
            type="Normal" if normal else "Warning",
            reason=ending.reason.value,
            message=ending.message,
            action="Run",
        ),
    ]
    return Decision(actions=tuple(actions))


def _decide_waiting(seen: SeenExecution, now: datetime) -> Decision:
    if seen.cancel_wanted:
        return _finish(seen, _cancelled_before_start(seen), now)
    if isinstance(seen.spec, InvalidManifest):
        return _finish(seen, _failed(ExecutionReason.INVALID_SPEC, str(seen.spec)), now)
    left = _queue_seconds_left(seen, seen.spec, now)
    if left is not None and left <= 0 and not _waits_for_its_sandbox(seen, seen.spec):
        return _finish(seen, _queue_timeout(seen, seen.spec), now)
    if seen.spec.sandbox_name is not None:
        decision = _decide_in_sandbox(seen, seen.spec, now)
    else:
        decision = _decide_one_shot(seen, now)
        decision = replace(decision, actions=(*_clear_lost_pods(seen), *decision.actions))
    return decision if left is None or left <= 0 else decision.no_later_than(left)


def _queue_seconds_left(seen: SeenExecution, spec: ExecutionSpec, now: datetime) -> float | None:
    """How much longer it may wait, None: as long as it takes. After a loss it has started in
    time already."""
    started = seen.lost_attempts > 0 and "attempt" in seen.status
    if spec.queue_timeout_seconds is None or started:
        return None
    return spec.queue_timeout_seconds - (now - seen.created_at).total_seconds()


def _waits_for_its_sandbox(seen: SeenExecution, spec: ExecutionSpec) -> bool:
    """Whether what is missing is the Sandbox: that has a reason of its own."""
    return spec.sandbox_name is not None and seen.sandbox is None


def _queue_timeout(seen: SeenExecution, spec: ExecutionSpec) -> Ending:
    last = str(seen.status.get("message") or "")
    return Ending(
        state=ExecutionState.TIMEOUT,
        reason=ExecutionReason.QUEUE_TIMEOUT,
        message=(
            f"Its code did not start within queueTimeoutSeconds ({spec.queue_timeout_seconds} s); "
            f"none of it has run. {f'Last: {last}' if last else ''}".rstrip()
        ),
    )


def _cancelled_before_start(seen: SeenExecution) -> Ending:
    return Ending(
        state=ExecutionState.CANCELLED,
        reason=ExecutionReason.CANCELLED,
        message=f"{who_ended(seen)} before its code started.",
        never_started=True,
    )


def _decide_in_sandbox(seen: SeenExecution, spec: ExecutionSpec, now: datetime) -> Decision:
    sandbox = seen.sandbox
    if sandbox is None:
        message = (
            f'Sandbox "{spec.sandbox_name}" does not exist in namespace "{seen.namespace}"; '
            "create it, or correct spec.sandboxRef.name in a new Execution."
        )
        most = spec.queue_timeout_seconds or seen.sandbox_not_found_seconds
        return _wait_at_most(seen, ExecutionReason.SANDBOX_NOT_FOUND, message, now, most)
    if sandbox.deleting or sandbox.state is SandboxState.TERMINATED:
        what = "was deleted." if sandbox.deleting else f"has ended: {sandbox.message}"
        message = f'Sandbox "{spec.sandbox_name}" {what}'
        return _finish(seen, _failed(ExecutionReason.SANDBOX_TERMINATED, message), now)
    if sandbox.user is not None and spec.user != sandbox.user:
        # Admission lets only that user, and who has the verb billto, write the name.
        message = (
            f'spec.user: Sandbox "{spec.sandbox_name}" is billed to "{sandbox.user}" and runs only '
            "Executions of that spec.user. Make a new Execution that names it (be that user, or "
            "have the verb billto on executions), or use another Sandbox."
        )
        return _finish(seen, _failed(ExecutionReason.INVALID_SPEC, message), now)
    if sandbox.stalled_since is not None:
        return _wait_for_stalled(seen, spec, sandbox, sandbox.stalled_since, now)
    if seen.class_objection:
        return _finish(seen, _failed(ExecutionReason.INVALID_SPEC, seen.class_objection), now)
    if seen.sandbox_class is None and seen.class_name:  # "": the Sandbox itself is malformed
        return _wait_for_class(seen, now)
    if seen.pod is None or sandbox.state is not SandboxState.RUNNING or sandbox.suspended:
        message = f'Waiting for Sandbox "{spec.sandbox_name}" ({sandbox.state}): {sandbox.message}'
        return _wait(seen, message, now)
    if not seen.pod_ready:
        message = f'Waiting for the runner of Sandbox "{spec.sandbox_name}" to answer.'
        return _wait(seen, message, now)
    if seen.turn is not None and not seen.turn.is_now:
        return _wait_for_turn(seen, seen.turn, spec, now)
    return _dispatch(seen, seen.pod, sandbox.uid, now)


def _wait_for_stalled(
    seen: SeenExecution, spec: ExecutionSpec, sandbox: SandboxSeen, since: datetime, now: datetime
) -> Decision:
    """It cannot run as it is: who may mend that is given as long as for one that is missing."""
    give_up_at = max(since, seen.created_at) + timedelta(seconds=seen.sandbox_not_found_seconds)
    if now >= give_up_at:
        message = f'Sandbox "{spec.sandbox_name}" cannot run: {sandbox.message}'
        return _finish(seen, _failed(ExecutionReason.INVALID_SPEC, message), now)
    message = f'Waiting for Sandbox "{spec.sandbox_name}" ({sandbox.state}): {sandbox.message}'
    return _wait(seen, message, now).no_later_than((give_up_at - now).total_seconds())


def _wait_for_code(seen: SeenExecution, missing: CodeMissing, now: datetime) -> Decision:
    waited = _wait_at_most(seen, ExecutionReason.INVALID_SPEC, missing.message, now)
    if any(
        isinstance(action, WriteStatus) and "completionTime" in action.status
        for action in waited.actions
    ):
        return waited
    return waited.no_later_than(_LOOK_AGAIN_SECONDS)


def _wait_for_class(seen: SeenExecution, now: datetime) -> Decision:
    message = (
        f'SandboxClass "{seen.class_name}" does not exist; `kubectl get sandboxclasses` '
        "lists those that do."
    )
    return _wait_at_most(seen, ExecutionReason.INVALID_SPEC, message, now)


def _decide_one_shot(seen: SeenExecution, now: datetime) -> Decision:
    if seen.class_objection:  # first: a malformed class is objected to, and not missing
        return _finish(seen, _failed(ExecutionReason.INVALID_SPEC, seen.class_objection), now)
    if seen.sandbox_class is None:
        return _wait_for_class(seen, now)
    if seen.code_missing is not None:  # before a pod is paid for
        return _wait_for_code(seen, seen.code_missing, now)
    pod = seen.pod
    if pod is None:
        return _create_own_pod(seen, now)
    if pod.deleting or pod.phase is PodPhase.ENDED:
        return _pod_ended_unused(seen, pod, now)
    if pod.phase is PodPhase.PENDING:
        return _wait_for_pod(seen, pod, now)
    if not seen.pod_ready:
        return _wait_for_runner(seen, pod, now)
    return _dispatch(seen, pod, None, now)


def _pod_ended_unused(seen: SeenExecution, pod: PodView, now: datetime) -> Decision:
    """None of its code has run there, so that another pod can run nothing twice: rejected by its
    node, deleted, evicted. A runner that ends by itself would do so again."""
    ending = replace(ending_of_pod(pod, started=False), never_started=True)
    hopeless = pod.phase is PodPhase.ENDED and pod.end_cause in (
        EndCause.FINISHED,
        EndCause.OOM_KILLED,
    )
    if hopeless or pod.incarnation >= MAX_ATTEMPTS:
        return _finish(seen, ending, now)
    message = f"{ending.message} It gets another pod."
    actions: tuple[Action, ...] = (
        ForgetDispatch(attempts=pod.incarnation),
        PostEvent(type="Warning", reason=ending.reason.value, message=message, action="Run"),
    )
    return Decision(actions=actions, requeue_after_seconds=0)


def _wait_for_runner(seen: SeenExecution, pod: PodView, now: datetime) -> Decision:
    """Its own pod's container runs; the runner in it answers in a moment, or never, or starts no
    code for want of a network policy that holds."""
    probe = ProbeRunner(pod_uid=pod.uid)
    if seen.unenforced is not None:
        message = f"{seen.unenforced.message} None of its code ran."
        if seen.unenforced.is_over:
            ending = _failed(ExecutionReason.NETWORK_NOT_ENFORCED, message)
            return _finish(seen, replace(ending, never_started=True), now)
        waited = _wait(seen, message, now) if seen.unenforced.is_news else Decision()
        return Decision(
            actions=(*waited.actions, probe),
            requeue_after_seconds=seen.unenforced.look_again_seconds,
        )
    asked = seen.pod_asked_seconds or 0.0
    if asked >= _TROUBLE_SECONDS:
        message = (
            f"The runner in its pod has not answered for {int(asked)} s. None of its code ran."
        )
        return _finish(seen, _failed(ExecutionReason.START_FAILED, message), now)
    return Decision(actions=(probe,), requeue_after_seconds=_TROUBLE_SECONDS - asked)


def _create_own_pod(seen: SeenExecution, now: datetime) -> Decision:
    if seen.pod_refusal is not None:
        waited = _wait_for_room(seen, seen.pod_refusal, now)
        if any(isinstance(a, WriteStatus) for a in waited.actions):
            return waited
    actions: list[Action] = [EnsureNetworkPolicy(profile=NO_NETWORK)]
    if not seen.has_finalizer:
        actions.append(AddFinalizer())
    actions.append(CreatePod(incarnation=seen.lost_attempts + 1, lifetime_seconds=None))
    return Decision(actions=tuple(actions), requeue_after_seconds=_LONG_WAIT_SECONDS)


def _wait_for_room(seen: SeenExecution, refusal: RunProblem, now: datetime) -> Decision:
    """Its pod is refused. A full quota is waited for as long as it may wait at all; whatever else
    refuses it has a minute to change."""
    # Not the field: after a loss it bounds nothing any more, and the wait would have no end.
    timed = (
        isinstance(seen.spec, ExecutionSpec)
        and _queue_seconds_left(seen, seen.spec, now) is not None
    )
    if refusal.reason is ExecutionReason.QUOTA_EXCEEDED and timed:
        return _wait(seen, refusal.message, now)
    left = seen.sandbox_not_found_seconds - (seen.refused_seconds or 0.0)
    if left <= 0:
        ending = replace(_failed(refusal.reason, refusal.message), never_started=True)
        return _finish(seen, ending, now)
    return _wait(seen, refusal.message, now).no_later_than(left)


def _wait_for_pod(seen: SeenExecution, pod: PodView, now: datetime) -> Decision:
    age = (now - pod.created_at).total_seconds()
    if pod.trouble is None:
        return _wait(seen, "Waiting for its pod to start.", now).asking_why_pending(pod.uid, age)
    message = f"Its pod cannot start: {pod.trouble.message}"
    given_up_at = pod.created_at + timedelta(seconds=_TROUBLE_SECONDS)
    reason = {
        "ImagePullFailed": ExecutionReason.IMAGE_PULL_FAILED,
        "StartFailed": ExecutionReason.START_FAILED,
    }.get(pod.trouble.reason)
    if reason is None:
        return _wait(seen, message, now)
    if now >= given_up_at:
        return _finish(seen, _failed(reason, message), now)
    # The kubelet may have nothing new to say until then.
    waited = _wait(seen, message, now).no_later_than((given_up_at - now).total_seconds())
    return waited.asking_why_pending(pod.uid, age) if pod.trouble.of_events else waited


def _dispatch(
    seen: SeenExecution, pod: PodView, sandbox_uid: str | None, now: datetime
) -> Decision:
    if seen.code_missing is not None:
        return _wait_for_code(seen, seen.code_missing, now)
    if seen.terms is None:  # its class went, or its Sandbox became malformed, in this moment
        return _wait(seen, "Waiting to know the class of its Sandbox.", now)
    attempt = seen.lost_attempts + 1
    return Decision(
        actions=(
            Dispatch(
                pod_uid=pod.uid,
                attempt=attempt,
                sandbox_uid=sandbox_uid,
                terms=seen.terms,
                code_sha256=seen.code_sha256,
            ),
            FollowRun(pod_uid=pod.uid, attempt=attempt, may_start=True),
        )
    )


def _decide_dispatched(seen: SeenExecution, dispatched: Dispatched, now: datetime) -> Decision:
    run = seen.run
    if isinstance(run, RunProblem):
        if run.never_started and seen.cancel_wanted:
            return _finish(seen, _cancelled_before_start(seen), now)
        ending = replace(_failed(run.reason, run.message), never_started=run.never_started)
        return _end_or_again(seen, dispatched, ending, now)
    pod = seen.pod
    if run is not None and run.state is RunState.FINISHED:
        if _cause_still_unknown(seen, run, now):
            return Decision(requeue_after_seconds=1.0)
        return _end_or_again(seen, dispatched, ending_of_run(seen, run), now)
    if pod is None or pod.uid != dispatched.pod_uid or pod.phase is PodPhase.ENDED:
        gone = None if pod is None or pod.uid != dispatched.pod_uid else pod
        return _end_or_again(seen, dispatched, ending_without_result(seen, gone), now)
    if seen.runner_hurt and any(one.uid == pod.uid and not one.deleting for one in seen.own_pods):
        return Decision(actions=(DeletePod(pod_uid=pod.uid),))  # of a Sandbox's pod that decides
    overdue = ending_of_overdue(seen, now)
    if overdue is not None:
        return _end_or_again(seen, dispatched, overdue, now)
    return _keep_following(seen, dispatched, pod, run, now)


def _end_or_again(
    seen: SeenExecution, dispatched: Dispatched, ending: Ending, now: datetime
) -> Decision:
    """The end, or, of what is idempotent and was lost, another attempt."""
    if not may_run_again(seen, dispatched, ending):
        return _finish(seen, ending, now)
    message = f"Attempt {dispatched.attempt} was lost; it is run again. {ending.message}"
    actions: tuple[Action, ...] = (
        ForgetDispatch(attempts=dispatched.attempt),
        WriteStatus(status=lost_status(seen, message, dispatched.attempt, now)),
        PostEvent(type="Warning", reason=ending.reason.value, message=message, action="Run"),
    )
    return Decision(actions=actions, requeue_after_seconds=0)


def _keep_following(
    seen: SeenExecution,
    dispatched: Dispatched,
    pod: PodView,
    run: RunDocument | None,
    now: datetime,
) -> Decision:
    over = over_seconds(seen, now)
    look = None if over is None else max(1.0, GRACE_SECONDS - over)
    follow = FollowRun(
        pod_uid=pod.uid, attempt=dispatched.attempt, may_start=not seen.cancel_wanted
    )
    if run is None:
        # Asked for the first time there is no silence yet: look once it could be too long.
        first = GRACE_SECONDS + (0 if seen.terms is None else seen.terms.timeout_seconds)
        return Decision(actions=(follow,), requeue_after_seconds=look or first)
    actions: list[Action] = []
    overdue = over is not None and over >= GRACE_SECONDS
    if seen.cancel_wanted or overdue or _sandbox_is_ending(seen):
        actions.append(CancelRun(pod_uid=pod.uid, attempt=dispatched.attempt))
    actions.append(follow)
    if seen.state is not ExecutionState.RUNNING and run.start_time is not None:
        lasted = (now - run.start_time).total_seconds()
        if lasted < _QUIET_WAIT_SECONDS:
            return Decision(
                actions=tuple(actions), requeue_after_seconds=_QUIET_WAIT_SECONDS - lasted
            )
        actions.append(WriteStatus(status=running_status(seen, run, now)))
    return Decision(
        actions=tuple(actions), requeue_after_seconds=GRACE_SECONDS if overdue else look
    )


def _cause_still_unknown(seen: SeenExecution, run: RunDocument, now: datetime) -> bool:
    """Whether the run was ended with its pod and the pod does not say why yet.

    A runner that is told to stop cancels its runs; whether that was an eviction or
    somebody's `kubectl delete pod` stands in the pod's status a moment later.
    """
    if run.result is None or run.result.outcome is not RunOutcome.CANCELLED:
        return False
    if seen.cancel_wanted or _sandbox_is_ending(seen):
        return False
    pod_lives = seen.pod is not None and seen.pod.phase is not PodPhase.ENDED
    # By the operator's clock too: a completion that lies ahead is no reason to wait for it.
    since = max((now - (run.completion_time or now)).total_seconds(), seen.silent_seconds or 0.0)
    return pod_lives and since < _LINGER_SECONDS


def _sandbox_is_ending(seen: SeenExecution) -> bool:
    return seen.sandbox is not None and (
        seen.sandbox.deleting or seen.sandbox.state is SandboxState.TERMINATED
    )


def _wind_down(seen: SeenExecution, now: datetime) -> Decision:
    """After the final status: nothing of the outcome is lost on the way out."""
    stale = seen.status.get("observedGeneration", seen.generation) != seen.generation
    if stale and not seen.deleting:
        # Of a finished object nothing else changes; kstatus calls a stale one in progress.
        status = {"observedGeneration": seen.generation}
        return Decision(actions=(WriteStatus(status=status),), requeue_after_seconds=0)
    held = _ask_for_result(seen) or _hand_over_output(seen)
    if held is not None:
        return held
    actions = list(_clear_own_pods(seen, now))
    if seen.deleting:
        if seen.has_finalizer and seen.recorded and not seen.own_pods:
            actions.append(RemoveFinalizer())
        return Decision(actions=tuple(actions), requeue_after_seconds=_linger(seen))
    if not isinstance(seen.spec, ExecutionSpec) or seen.spec.ttl_seconds_after_finished is None:
        return Decision(actions=tuple(actions), requeue_after_seconds=_linger(seen))
    completed = parse_time(seen.status.get("completionTime")) or now
    left = seen.spec.ttl_seconds_after_finished - (now - completed).total_seconds()
    if left <= 0 and seen.recorded:
        actions.append(DeleteObject())
    decision = Decision(
        actions=tuple(actions),
        requeue_after_seconds=left if left > 0 else (None if seen.recorded else 5.0),
    )
    return decision.no_later_than(_LINGER_SECONDS) if seen.own_pods else decision


def _linger(seen: SeenExecution) -> float | None:
    return _LINGER_SECONDS if seen.own_pods else None


def _ask_for_result(seen: SeenExecution) -> Decision | None:
    """After a restart: what the runner still holds is asked for before anything is let go.
    A runner that does not answer is not waited for long."""
    pod = seen.pod
    if seen.run is not None or seen.dispatched is None:
        return None
    if pod is None or pod.phase is not PodPhase.RUNNING:
        return None
    if seen.pod_ready:
        awaited = seen.run_awaited and (seen.silent_seconds or 0.0) < _LINGER_SECONDS
        # Its word brings the key back; so does its silence.
        return Decision(requeue_after_seconds=_LINGER_SECONDS) if awaited else None
    if seen.pod_asked_seconds is not None and seen.pod_asked_seconds >= _LINGER_SECONDS:
        return None
    probe = ProbeRunner(pod_uid=pod.uid)
    return Decision(actions=(probe,), requeue_after_seconds=_LINGER_SECONDS)


def _hand_over_output(seen: SeenExecution) -> Decision | None:
    """Save what is not inline, then release; None when the runner holds nothing more."""
    run, pod = seen.run, seen.pod
    if not isinstance(run, RunDocument) or pod is None or pod.phase is not PodPhase.RUNNING:
        return None
    if run.state is not RunState.FINISHED:
        return None
    streams = () if seen.output_saved else streams_to_save(seen.status, run)
    files = () if seen.output_saved else files_to_save(seen.status, run)
    if streams or files:
        collect = CollectOutput(pod_uid=pod.uid, attempt=run.attempt, streams=streams, files=files)
        return Decision(actions=(collect,))
    if not seen.recorded:
        return NOTHING  # the mirror's commit brings the key back
    # Nothing changes on the object by that: look again, for what comes after.
    release = ReleaseRun(pod_uid=pod.uid, attempt=run.attempt)
    return Decision(actions=(release,), requeue_after_seconds=0)


def _clear_lost_pods(seen: SeenExecution) -> tuple[Action, ...]:
    """Those of earlier attempts go once they are recorded, whatever becomes of the next."""
    actions: list[Action] = []
    for pod in seen.own_pods:
        if pod.incarnation > seen.lost_attempts:
            continue
        if not pod.deleting:
            ended = pod.phase is PodPhase.ENDED
            actions.append(DeletePod(pod_uid=pod.uid, grace_seconds=0 if ended else None))
        elif pod.has_finalizer and pod.uid in seen.recorded_pods:
            actions.append(ReleasePod(pod_uid=pod.uid))
    return tuple(actions)


def _clear_own_pods(seen: SeenExecution, now: datetime) -> tuple[Action, ...]:
    """One-shot pods go once their times are in the ledger."""
    completed = parse_time(seen.status.get("completionTime")) or now
    actions: list[Action] = []
    for pod in seen.own_pods:
        if pod.phase is PodPhase.ENDED:
            if pod.has_finalizer and pod.uid in seen.recorded_pods:
                actions.append(ReleasePod(pod_uid=pod.uid))
            if not pod.deleting and pod.uid in seen.recorded_pods:
                actions.append(DeletePod(pod_uid=pod.uid, grace_seconds=0))
        elif pod.phase is PodPhase.PENDING and pod.deleting:
            if pod.has_finalizer and pod.uid in seen.recorded_pods:
                actions.append(ReleasePod(pod_uid=pod.uid))
        elif not pod.deleting:
            # Either way: a runner may tell of a completion that lies ahead.
            lingered = abs((now - completed).total_seconds()) >= _LINGER_SECONDS
            if seen.deleting or lingered or pod.phase is PodPhase.PENDING:
                actions.append(DeletePod(pod_uid=pod.uid))
    return tuple(actions)


def _wait(seen: SeenExecution, message: str, now: datetime) -> Decision:
    """Stay Queued; say why once it takes long enough to be wondered about."""
    waited = (now - seen.created_at).total_seconds()
    if waited < _QUIET_WAIT_SECONDS:
        return Decision(requeue_after_seconds=_QUIET_WAIT_SECONDS - waited)
    actions: list[Action] = []
    status = queued_status(seen, message, now)
    if status is not None:
        actions.append(WriteStatus(status=status))
    if waited >= _LONG_WAIT_SECONDS:
        event = PostEvent(type="Normal", reason="Waiting", message=message, action="Queue")
        return Decision(actions=(*actions, event))
    return Decision(actions=tuple(actions), requeue_after_seconds=_LONG_WAIT_SECONDS - waited)


def _wait_for_turn(seen: SeenExecution, turn: Turn, spec: ExecutionSpec, now: datetime) -> Decision:
    """Others go first. The place is written when it has changed and is due."""
    waited = (now - seen.created_at).total_seconds()
    if waited < _QUIET_WAIT_SECONDS:
        return Decision(requeue_after_seconds=_QUIET_WAIT_SECONDS - waited)
    where = f'Waiting for its turn in Sandbox "{spec.sandbox_name}"'
    runs = "1 Execution runs" if turn.running == 1 else f"{turn.running} Executions run"
    message = (
        f"{where}: {runs} there, {turn.room} may at once, "
        f"{_many(turn.position - 1, 'waits', 'wait')} before it (priority {spec.priority})."
    )
    actions: list[Action] = []
    written, told = seen.status.get("queuePosition"), seen.told_seconds_ago or 0.0
    due = max(_PLACE_SECONDS, 4 * (waited - told)) - told
    if not str(seen.status.get("message")).startswith(where) or (
        written != turn.position and due <= 0
    ):
        status = queued_status(seen, message, now, position=turn.position)
        if status is not None:
            actions.append(WriteStatus(status=status))
    if waited < _LONG_WAIT_SECONDS:
        return Decision(actions=tuple(actions), requeue_after_seconds=_LONG_WAIT_SECONDS - waited)
    # Without the figures: one Event for one wait.
    actions.append(PostEvent(type="Normal", reason="Waiting", message=f"{where}.", action="Queue"))
    return Decision(
        actions=tuple(actions), requeue_after_seconds=due if due > 0 else _PLACE_SECONDS
    )


def _many(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _wait_at_most(
    seen: SeenExecution,
    reason: ExecutionReason,
    message: str,
    now: datetime,
    most_seconds: float | None = None,
) -> Decision:
    """Wait for what GitOps may still bring; after a while it is an error."""
    most = seen.sandbox_not_found_seconds if most_seconds is None else most_seconds
    give_up_at = seen.created_at + timedelta(seconds=most)
    if now >= give_up_at:
        told = f"{message} It gave up after {most:g} s; none of its code ran."
        return _finish(seen, _failed(reason, told), now)
    return _wait(seen, message, now).no_later_than((give_up_at - now).total_seconds())


def _failed(reason: ExecutionReason, message: str) -> Ending:
    return Ending(state=ExecutionState.FAILED, reason=reason, message=message)
