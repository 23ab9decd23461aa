"""An Execution that was handed over to a pod: its code runs there, or may have run."""

from dataclasses import replace
from datetime import datetime

from soulbox.kinds.execution.decide.actions import (
    Action,
    CancelRun,
    Decision,
    FollowRun,
    ForgetDispatch,
)
from soulbox.kinds.execution.decide.end import cancelled_before_start, failed, finish
from soulbox.kinds.execution.decide.outcome import ending_of_run, ending_without_result
from soulbox.kinds.execution.decide.overdue import (
    GRACE_SECONDS,
    ending_of_overdue,
    may_run_again,
    over_seconds,
)
from soulbox.kinds.execution.decide.seen import Dispatched, RunProblem, SeenExecution
from soulbox.kinds.execution.decide.status import (
    UNJUDGED_REASON,
    Ending,
    lost_status,
    running_status,
    unjudged_message,
)
from soulbox.kinds.execution.decide.waits import QUIET_WAIT_SECONDS
from soulbox.kinds.execution.decide.wind_down import LINGER_SECONDS
from soulbox.model.runs import RunDocument
from soulbox.model.states import ExecutionState, RunOutcome, RunState, SandboxState
from soulbox.pure.actions import DeletePod, PostEvent, WriteStatus
from soulbox.pure.pods.view import PodPhase, PodView

# A judge that cannot be started is asked again after 1, 1, 2, 4, 8, 15, 15 s.
_LAST_JUDGE_DELAY_SECONDS = 15.0


def decide_dispatched(seen: SeenExecution, dispatched: Dispatched, now: datetime) -> Decision:
    """The next actions for one whose code may have run, until its end is known."""
    run = seen.run
    if isinstance(run, RunProblem):
        if run.never_started and seen.cancel_wanted:
            return finish(seen, cancelled_before_start(seen), now)
        ending = replace(failed(run.reason, run.message), never_started=run.never_started)
        return _end_or_again(seen, dispatched, ending, now)
    pod = seen.pod
    if run is not None and run.state is RunState.FINISHED:
        if seen.verdict.waited_seconds is not None:
            return Decision(requeue_after_seconds=_ask_again_seconds(seen.verdict.waited_seconds))
        if _cause_still_unknown(seen, run, now):
            return Decision(requeue_after_seconds=1.0)
        decision = _end_or_again(seen, dispatched, ending_of_run(seen, run), now)
        return replace(decision, actions=(*decision.actions, *_tell_unjudged(seen)))
    if pod is None or pod.uid != dispatched.pod_uid or pod.phase is PodPhase.ENDED:
        gone = None if pod is None or pod.uid != dispatched.pod_uid else pod
        return _end_or_again(seen, dispatched, ending_without_result(seen, gone), now)
    if seen.runner_hurt and any(one.uid == pod.uid and not one.deleting for one in seen.own_pods):
        return Decision(actions=(DeletePod(pod_uid=pod.uid),))  # of a Sandbox's pod that decides
    overdue = ending_of_overdue(seen, now)
    if overdue is not None:
        return _end_or_again(seen, dispatched, overdue, now)
    return _keep_following(seen, dispatched, pod, run, now)


def _ask_again_seconds(waited_seconds: float) -> float:
    """Until the judge is asked again whose answer is missing: as long as it was waited for."""
    return min(max(1.0, waited_seconds), _LAST_JUDGE_DELAY_SECONDS)


def _tell_unjudged(seen: SeenExecution) -> tuple[PostEvent, ...]:
    """Beside the Event of its end: whoever trusts in outputSchema has to look."""
    if not seen.verdict.unjudged:
        return ()
    message = unjudged_message(seen.verdict)
    event = PostEvent(type="Warning", reason=UNJUDGED_REASON, message=message, action="Judge")
    return (event,)


def _end_or_again(
    seen: SeenExecution, dispatched: Dispatched, ending: Ending, now: datetime
) -> Decision:
    """The end, or, of what is idempotent and was lost, another attempt."""
    if not may_run_again(seen, dispatched, ending):
        return finish(seen, ending, now)
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
        if lasted < QUIET_WAIT_SECONDS:
            return Decision(
                actions=tuple(actions), requeue_after_seconds=QUIET_WAIT_SECONDS - lasted
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
    return pod_lives and since < LINGER_SECONDS


def _sandbox_is_ending(seen: SeenExecution) -> bool:
    return seen.sandbox is not None and (
        seen.sandbox.deleting or seen.sandbox.state is SandboxState.TERMINATED
    )
