"""From what the runner or the pod says to the closed set of states and reasons."""

from typing import assert_never

from soulbox.kinds.execution.decide.hints import hint_of
from soulbox.kinds.execution.decide.output import last_line, told_stderr
from soulbox.kinds.execution.decide.overdue import LOSSES
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.decide.status import Ending, unjudged_message
from soulbox.kinds.execution.decide.uncaught import parse_uncaught
from soulbox.model.quantity import format_bytes
from soulbox.model.runs import NoResult, RunDocument
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import ExecutionReason, ExecutionState, RunOutcome, SandboxState
from soulbox.pure.pods.view import EndCause, PodView

_NOTHING_WRITTEN = "; it wrote nothing to stderr."
_FAILED = ExecutionState.FAILED


def ending_of_run(seen: SeenExecution, run: RunDocument) -> Ending:
    """The end of a run whose document is Finished."""
    result = run.result
    if result is None:  # the schema refuses it; a hostile reply must not crash a pass
        return Ending(
            state=_FAILED,
            reason=ExecutionReason.LOST,
            message="The runner reported an end without a result.",
            run=run,
        )
    match result.outcome:
        case RunOutcome.EXITED:
            return _exited(seen, run, result.exit_code or 0)
        case RunOutcome.SIGNALED:
            message = f"The program was ended by signal {result.signal or 'unknown'}."
            message += _killed(seen, run)
            reason = ExecutionReason.SIGNALED
        case RunOutcome.TIMED_OUT:
            return Ending(
                state=ExecutionState.TIMEOUT,
                reason=ExecutionReason.TIMED_OUT,
                message=(
                    f"The program ran longer than its {_timeout(seen)} and was killed with all "
                    f"its processes; its output until then is kept. Raise {_which_timeout(seen)} "
                    f"if it needs longer.{_memory_kills(seen, run)}"
                ),
                run=run,
            )
        case RunOutcome.CANCELLED:
            return _cancelled(seen, run)
        case RunOutcome.OOM_KILLED:
            limit = f" of {format_bytes(seen.limits.memory_bytes)}" if seen.limits else ""
            message = (
                f"The program needed more memory than its limit{limit}. Give {_whom(seen)} more "
                "(spec.resources.memory) or use less."
            )
            reason = ExecutionReason.OOM_KILLED
        case RunOutcome.DISK_LIMIT:
            limit = f" of {format_bytes(seen.limits.disk_bytes)}" if seen.limits else ""
            found = result.message or "together they grew over it"
            message = (
                f"The run was ended for the disk limit{limit} on /workspace and /tmp (where TMPDIR "
                f"is): {found}. Write less, or give {_whom(seen)} more (spec.resources.disk)."
            )
            reason = ExecutionReason.DISK_LIMIT
        case RunOutcome.START_FAILED:
            message = f"The program could not be started: {result.message or 'no details'}"
            reason = ExecutionReason.START_FAILED
        case _ as never:
            assert_never(never)
    return Ending(state=_FAILED, reason=reason, message=message, run=run)


def _exited(seen: SeenExecution, run: RunDocument, exit_code: int) -> Ending:
    if exit_code == 0 and isinstance(run.left, NoResult):
        return Ending(
            state=_FAILED,
            reason=ExecutionReason.RESULT_INVALID,
            message=(
                "The program ended with exit code 0, and what it left in SOULBOX_RESULT is no "
                f"result: it {run.left.message}. Its output is kept."
            ),
            run=run,
        )
    if exit_code == 0 and seen.verdict.objection:
        return Ending(
            state=_FAILED,
            reason=ExecutionReason.RESULT_INVALID,
            message=f"{seen.verdict.objection}. Its output is kept.",
            run=run,
        )
    if exit_code == 0:
        return Ending(
            state=ExecutionState.COMPLETED,
            reason=ExecutionReason.COMPLETED,
            message=f"The program ended with exit code 0.{_killed(seen, run)}{_unjudged(seen)}",
            run=run,
        )
    text = told_stderr(run, seen.kept_bytes)
    error = parse_uncaught(text, exit_code)
    line = error.summary[:1024] if error else last_line(text)
    nothing = "; nothing of its output is kept." if seen.kept_bytes == 0 else _NOTHING_WRITTEN
    detail = f": {line}" if line else nothing
    hint = _killed(seen, run) or hint_of(seen, text)
    if hint and detail[-1] not in ".!?":
        detail += "."
    return Ending(
        state=_FAILED,
        reason=ExecutionReason.NON_ZERO_EXIT,
        message=f"The program ended with exit code {exit_code}{detail}{hint}",
        run=run,
    )


def _unjudged(seen: SeenExecution) -> str:
    return f" {unjudged_message(seen.verdict)}" if seen.verdict.unjudged else ""


def _killed(seen: SeenExecution, run: RunDocument) -> str:
    """Sentences on processes of the run that were killed, whose output may be missing."""
    text = _memory_kills(seen, run)
    if run.result is not None and run.result.left_at_work:
        text += (
            " Processes that it left behind were still at work, and were killed: their output"
            " may not be whole. Let the program wait for them."
        )
    return text


def _memory_kills(seen: SeenExecution, run: RunDocument) -> str:
    """A sentence on processes that the kernel killed for memory while the program itself
    lived on: its own end seldom says so. "" when there were none."""
    kills = 0 if run.result is None else run.result.oom_kills
    if not kills:
        return ""
    limit = f" of {format_bytes(seen.limits.memory_bytes)}" if seen.limits else ""
    what = "a process" if kills == 1 else f"{kills} processes"
    return (
        f" Meanwhile the kernel killed {what} of its sandbox, which had reached its memory"
        f" limit{limit}."
    )


def _whom(seen: SeenExecution) -> str:
    """Whose spec.resources its pod has its limits from."""
    if seen.call is not None:
        return "the Function"
    own = isinstance(seen.spec, ExecutionSpec) and seen.spec.sandbox_name is None
    return "the Execution" if own else "the Sandbox"


def _which_timeout(seen: SeenExecution) -> str:
    whose = "" if seen.call is None else " of the call or of its Function"
    return f"spec.timeoutSeconds{whose}"


def _timeout(seen: SeenExecution) -> str:
    if isinstance(seen.spec, ExecutionSpec) and seen.spec.timeout_seconds is not None:
        return f"timeoutSeconds ({seen.spec.timeout_seconds} s)"
    return f"time limit ({seen.terms.timeout_seconds} s)" if seen.terms else "time limit"


def _cancelled(seen: SeenExecution, run: RunDocument) -> Ending:
    """The run was killed on request: whose request tells the reason."""
    if seen.cancel_wanted:
        return Ending(
            state=ExecutionState.CANCELLED,
            reason=ExecutionReason.CANCELLED,
            message=f"{who_ended(seen)} while its code ran; its output until then is kept.",
            run=run,
        )
    if seen.sandbox is not None and (
        seen.sandbox.deleting or seen.sandbox.state is SandboxState.TERMINATED
    ):
        words = seen.sandbox.message
        return Ending(
            state=_FAILED,
            reason=ExecutionReason.SANDBOX_TERMINATED,
            message=(
                "Its Sandbox was deleted while the code ran; its output until then is kept."
                if seen.sandbox.deleting
                else f"Its Sandbox ended while the code ran: {words}"
            ),
            run=run,
        )
    return ending_of_pod(seen.pod, started=True, run=run)


def who_ended(seen: SeenExecution) -> str:
    """The beginning of a sentence about an Execution whose end is wanted."""
    if seen.deleting:
        return "The Execution was deleted"
    if seen.namespace_ending:
        return "The Execution's namespace was deleted"
    return "The Execution was cancelled (spec.cancel)"


def ending_without_result(seen: SeenExecution, pod: PodView | None) -> Ending:
    """The end of a started Execution whose pod ended (or is gone, None) and told nothing.

    The newest document known, of a run still under way, gives the output until then.
    """
    run = seen.run if isinstance(seen.run, RunDocument) else None
    if seen.cancel_wanted:
        return Ending(
            state=ExecutionState.CANCELLED,
            reason=ExecutionReason.CANCELLED,
            message=f"{who_ended(seen)} while its code ran, and its pod went with its result.",
            run=run,
        )
    in_sandbox = isinstance(seen.spec, ExecutionSpec) and seen.spec.sandbox_name is not None
    if in_sandbox and (
        seen.sandbox is None
        or seen.sandbox.deleting
        or seen.sandbox.state is SandboxState.TERMINATED
    ):
        gone = seen.sandbox is None or seen.sandbox.deleting
        what = "was deleted" if gone else "ended"
        message = f"Its Sandbox {what} while the code ran, and its result went with it."
        reason = ExecutionReason.SANDBOX_TERMINATED
        return Ending(state=_FAILED, reason=reason, message=message, run=run)
    if seen.runner_hurt:
        message = (
            "Its runner no longer served calls, so its pod was deleted; whether the code ran to "
            "its end is not known. To run it again make a new Execution."
        )
        return Ending(state=_FAILED, reason=ExecutionReason.LOST, message=message, run=run)
    return ending_of_pod(pod, started=True, run=run)


def ending_of_pod(pod: PodView | None, *, started: bool, run: RunDocument | None = None) -> Ending:
    """The end of an Execution whose pod ended, or is gone (None), without a result.

    Args:
        started: whether its code may have run there.
        run: the newest document known, for the output until then; None if there is none.
    """
    cause = EndCause.DELETED if pod is None else (pod.end_cause or EndCause.DELETED)
    detail = f" ({pod.end_message})" if pod is not None and pod.end_message else ""
    match cause:
        case EndCause.OOM_KILLED:
            reason, message = ExecutionReason.OOM_KILLED, "Its pod ran out of memory"
        case EndCause.EVICTED:
            reason, message = ExecutionReason.EVICTED, "Its pod was evicted"
        case EndCause.NODE_LOST:
            reason, message = ExecutionReason.NODE_LOST, "Its node was lost"
        case EndCause.DEADLINE:
            reason, message = (
                ExecutionReason.SANDBOX_TERMINATED,
                "Its pod reached its deadline, the most lifetime that its class allowed",
            )
        case EndCause.FINISHED | EndCause.DELETED | EndCause.UNKNOWN:
            reason = ExecutionReason.LOST if started else ExecutionReason.START_FAILED
            message = "Its pod was deleted" if cause is EndCause.DELETED else "Its pod ended"
        case _ as never:
            assert_never(never)
    if started:
        kept = run is not None and run.stdout is not None
        what = "Its output until then is kept" if kept else "Its result, if any, went with it"
        hint = f"{what}; to run the code again make a new Execution."
        if reason in LOSSES:
            hint += " With idempotent: true a loss is followed by another attempt."
    else:
        hint = "None of its code ran."
    return Ending(state=_FAILED, reason=reason, message=f"{message}{detail}. {hint}", run=run)
