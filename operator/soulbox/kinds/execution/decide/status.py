"""The `status` of an Execution, built whole from what was seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from soulbox.kinds.execution.decide.output import (
    INLINE_BYTES,
    inline_files,
    inline_stream,
    kept_part,
    last_line,
    told_stderr,
)
from soulbox.kinds.execution.decide.seen import ResultVerdict, SeenExecution
from soulbox.kinds.execution.decide.traceback import (
    MAX_STACK_TRACE_BYTES,
    UNCAUGHT_EXIT_CODE,
    ProgramError,
)
from soulbox.kinds.execution.decide.uncaught import parse_uncaught
from soulbox.kinds.sandbox_class.decide.limits import limit_texts
from soulbox.model.marks import dispatch_mark
from soulbox.model.runs import ResultValue, RunDocument, RunUsage, StreamSummary
from soulbox.model.states import ConditionType, ExecutionReason, ExecutionState, RunOutcome
from soulbox.model.text import printable, storable
from soulbox.model.times import format_time
from soulbox.pure.conditions import Condition, ConditionStatus, merge_conditions, same_conditions
from soulbox.pure.prices import charge

# Fields of a status that tell the terms of a dispatch.
TERMS = (
    "className",
    "language",
    "timeoutSeconds",
    "outputLimitBytes",
    "revision",
    "functionVersion",
    "functionUID",
)
# Of the condition, and the Event, of a result that was not judged.
UNJUDGED_REASON: Final = "ResultUnjudged"
# The CRD takes twice as many characters.
_MAX_ERROR_MESSAGE = 4096
# The CRD takes four times as many, in the message and in each condition.
_MAX_MESSAGE = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an Execution ended, before it is a status. `run` None: no document is known."""

    state: ExecutionState
    reason: ExecutionReason
    message: str
    run: RunDocument | None = None
    # It is certain that none of its code ran: no output is lost.
    never_started: bool = False


def unjudged_message(verdict: ResultVerdict) -> str:
    """That a result may not match its outputSchema, and why nobody knows."""
    return (
        "Its result was not judged by outputSchema, and may not match it: "
        f"{verdict.unjudged.rstrip('.')}."
    )


def queued_status(
    seen: SeenExecution, message: str, now: datetime, *, position: int | None = None
) -> dict[str, Any] | None:
    """The status of a wait that lasts; None when the object says so already.

    Args:
        position: its place in the queue; None: it waits for something else.
    """
    message = _words(message)
    same = seen.status.get("queuePosition") == position
    if same and seen.status.get("message") == message and "queuedTime" in seen.status:
        return None
    status = _frame(seen, ExecutionState.QUEUED, "Queued", message, now)
    status["queuedTime"] = format_time(seen.created_at)
    if position is not None:
        status["queuePosition"] = position
    return status


def lost_status(seen: SeenExecution, message: str, attempts: int, now: datetime) -> dict[str, Any]:
    """The status of what was lost with its pod and waits to be run again."""
    status = _frame(seen, ExecutionState.QUEUED, "Queued", message, now)
    status["queuedTime"] = format_time(seen.created_at)
    status["attempt"] = attempts
    for of_the_attempt in ("startTime", *TERMS):
        if of_the_attempt in seen.status:
            status[of_the_attempt] = None
    return status


def running_status(seen: SeenExecution, run: RunDocument, now: datetime) -> dict[str, Any]:
    """The status of a run that lasts over a second."""
    status = _frame(seen, ExecutionState.RUNNING, "Running", "The program is running.", now)
    status["queuedTime"] = format_time(seen.created_at)
    if run.start_time is not None:
        status["startTime"] = format_time(run.start_time)
    status["attempt"] = run.attempt
    status.update(_terms(seen))
    return status


def final_status(
    seen: SeenExecution, ending: Ending, now: datetime, *, inline_bytes: int = INLINE_BYTES
) -> dict[str, Any]:
    """The status nothing follows. `inline_bytes` bounds each stream (encoded)."""
    also: tuple[Condition, ...] = ()
    if ending.state is ExecutionState.COMPLETED and seen.verdict.unjudged:
        also = (_not_judged(seen.verdict),)
    status = _frame(seen, ending.state, ending.reason.value, ending.message, now, also)
    status["queuedTime"] = format_time(seen.created_at)
    run = ending.run
    completed = now if run is None or run.completion_time is None else run.completion_time
    status["completionTime"] = format_time(completed)
    started = seen.dispatched is not None
    if run is not None:
        status.update(_of_run(run, inline_bytes, seen.kept_bytes))
    elif "startTime" in seen.status:
        status["startTime"] = seen.status["startTime"]
    if seen.dispatched is not None:
        status["attempt"] = seen.dispatched.attempt
    status.update(_terms(seen))
    # A runner that says the program did not start leaves no doubt: there is no output to lose.
    has_run = started and (run is None or run.start_time is not None) and not ending.never_started
    if has_run and "output" not in status:
        status["output"] = lost_output()
    if ending.state is not ExecutionState.COMPLETED:
        status["error"] = _error(seen, ending, status)
    if started:
        status["receipt"] = _receipt(seen)
    billing = _billing(seen, run)
    if billing is not None:
        status["billing"] = billing
    return status


def cancelled_by_deletion(manifest: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """The last version of a deleted Execution, for the record: one that was not over is
    cancelled. It had no finalizer, so none of its code ran, unless somebody took that."""
    status = manifest.get("status") or {}
    state = status.get("state", ExecutionState.QUEUED.value)
    if state not in (ExecutionState.QUEUED.value, ExecutionState.RUNNING.value):
        return manifest
    message = "The Execution was deleted before its code started."
    if dispatch_mark(manifest["metadata"])[0]:
        message = "The Execution was deleted while its code ran; what became of it is not known."
    return {
        **manifest,
        "status": {
            **status,
            "state": ExecutionState.CANCELLED.value,
            "reason": ExecutionReason.CANCELLED.value,
            "message": message,
            "completionTime": format_time(now),
        },
    }


def streams_to_save(
    status: Mapping[str, Any], run: RunDocument, *, keeps_log: bool = False
) -> tuple[Literal["stdout", "stderr"], ...]:
    """Streams of which the status does not hold every byte; and what may hold lines of a log.

    The inline text is whole only if it encodes back to as many bytes as were written;
    replaced characters and cuts change the number or set the flag.
    """
    output = status.get("output") or {}
    found: list[Literal["stdout", "stderr"]] = []
    if run.stdout is not None and not _is_inline(output, "stdout", run.stdout):
        found.append("stdout")
    may_be_log = keeps_log and run.stderr is not None and b"{" in run.stderr.head
    if run.stderr is not None and (may_be_log or not _is_inline(output, "stderr", run.stderr)):
        found.append("stderr")
    return tuple(found)


def files_to_save(status: Mapping[str, Any], run: RunDocument) -> tuple[str, ...]:
    """Paths of the captured files that the status lists, as the runner knows them: the place
    in the list is the file's number in the record."""
    known = [file.path for file in run.files]
    found: list[str] = []
    for file in (status.get("output") or {}).get("files") or ():
        shown = str(file.get("path"))
        path = next((one for one in known if storable(one) == shown), shown)
        if path in known:
            known.remove(path)  # two may be shown alike
        found.append(path)
    return tuple(found)


def _is_inline(output: Mapping[str, Any], name: str, stream: StreamSummary) -> bool:
    if output.get(f"{name}Truncated"):
        return False
    return str(output.get(name, "")).encode() == stream.head + stream.tail


def _frame(
    seen: SeenExecution,
    state: ExecutionState,
    reason: str,
    message: str,
    now: datetime,
    also: tuple[Condition, ...] = (),
) -> dict[str, Any]:
    """What every status has.

    Args:
        also: conditions beside those that follow from the state.
    """
    message = _words(message)
    wanted = [*_conditions(state, reason, message), *also]
    old = seen.status.get("conditions") or []
    conditions = merge_conditions(old, wanted, generation=seen.generation, now=now)
    frame = {
        "state": state.value,
        "message": message,
        "observedGeneration": seen.generation,
        "conditions": old if same_conditions(old, conditions) else conditions,
    }
    if "queuePosition" in seen.status:
        frame["queuePosition"] = None  # out of the merged status, unless it is set anew
    if state.is_final:  # the closed list of reasons is of ends
        frame["reason"] = reason
    return frame


def _words(message: str) -> str:
    """A message as a status has it: written out, a runner's words may be ten times as long."""
    return printable(message)[:_MAX_MESSAGE]


def _not_judged(verdict: ResultVerdict) -> Condition:
    return Condition(
        type=ConditionType.RESULT_JUDGED,
        status="False",
        reason=UNJUDGED_REASON,
        message=unjudged_message(verdict),
    )


def _conditions(state: ExecutionState, reason: str, message: str) -> list[Condition]:
    def condition(kind: ConditionType, status: ConditionStatus, words: str = "") -> Condition:
        return Condition(type=kind, status=status, reason=reason, message=words)

    if not state.is_final:
        return [
            condition(ConditionType.FINISHED, "False"),
            condition(ConditionType.SUCCEEDED, "Unknown"),
            condition(ConditionType.READY, "Unknown"),
            condition(ConditionType.RECONCILING, "True", message),
        ]
    finished = condition(ConditionType.FINISHED, "True")
    if state is ExecutionState.COMPLETED:
        return [
            finished,
            condition(ConditionType.SUCCEEDED, "True"),
            condition(ConditionType.READY, "True", message),
        ]
    return [
        finished,
        condition(ConditionType.SUCCEEDED, "False"),
        condition(ConditionType.READY, "False"),
        condition(ConditionType.STALLED, "True", message),
    ]


def _of_run(run: RunDocument, inline_bytes: int, kept_bytes: int | None) -> dict[str, Any]:
    """Everything the runner's document tells, in the API's names.

    Args:
        kept_bytes: the run's outputLimitBytes; what is beyond it is not kept here either.
    """
    found: dict[str, Any] = {"attempt": run.attempt}
    if run.start_time is not None:
        found["startTime"] = format_time(run.start_time)
        found["output"] = {
            **_stream("stdout", run.stdout, inline_bytes, kept_bytes),
            **_stream("stderr", run.stderr, inline_bytes, kept_bytes),
            **inline_files(run.files, run.files_omitted, run.files_omitted_reason),
        }
    if run.duration_milliseconds is not None:
        found["durationMilliseconds"] = run.duration_milliseconds
    if run.result is not None:
        if run.result.outcome is RunOutcome.EXITED and run.result.exit_code is not None:
            found["exitCode"] = run.result.exit_code
        if run.result.signal is not None:
            found["signal"] = run.result.signal
    if run.usage is not None:
        found["usage"] = _usage(run.usage)
    if isinstance(run.left, ResultValue):
        found["result"] = run.left.value
    return found


def _stream(
    name: str, stream: StreamSummary | None, inline_bytes: int, kept_bytes: int | None
) -> dict[str, Any]:
    if stream is None:
        return {name: "", f"{name}Bytes": 0, f"{name}Truncated": False}
    head, tail, kept = kept_part(stream, kept_bytes)
    inline = inline_stream(head, tail, kept, inline_bytes)
    return {
        name: inline.text,
        f"{name}Bytes": stream.size_bytes,
        f"{name}Truncated": inline.cut or kept < stream.size_bytes,
        f"{name}Sha256": stream.sha256,
    }


def lost_output() -> dict[str, Any]:
    """Code has started, and what it wrote went with its pod."""
    return {"stdout": "", "stdoutTruncated": True, "stderr": "", "stderrTruncated": True}


def _usage(usage: RunUsage) -> dict[str, Any]:
    figures = {
        "cpuTimeMilliseconds": usage.cpu_time_milliseconds,
        "peakMemoryBytes": usage.peak_memory_bytes,
        "diskReadBytes": usage.disk_read_bytes,
        "diskWriteBytes": usage.disk_write_bytes,
        "networkRxBytes": usage.network_rx_bytes,
        "networkTxBytes": usage.network_tx_bytes,
    }
    known: dict[str, Any] = {key: value for key, value in figures.items() if value is not None}
    known["shared"] = usage.shared
    return known


def _error(seen: SeenExecution, ending: Ending, status: Mapping[str, Any]) -> dict[str, Any]:
    """Type, message and stack trace: of the exception that ended the program, else the
    reason and stderr's last line."""
    run = ending.run
    text = "" if run is None else told_stderr(run, seen.kept_bytes)
    found: ProgramError | None = None
    if ending.reason is ExecutionReason.NON_ZERO_EXIT:
        found = parse_uncaught(text, status.get("exitCode", UNCAUGHT_EXIT_CODE))
    if found is not None:
        return {
            "type": found.type,
            "message": printable(found.message)[:_MAX_ERROR_MESSAGE],
            "stackTrace": printable(found.stack_trace)[-MAX_STACK_TRACE_BYTES:],
        }
    ran = run is not None and ending.reason in (
        ExecutionReason.NON_ZERO_EXIT,
        ExecutionReason.SIGNALED,
    )
    return {
        "type": ending.reason.value,
        # Cut last: what is written out is up to ten times as long.
        "message": ((printable(last_line(text)) if ran else "") or str(status["message"]))[
            :_MAX_ERROR_MESSAGE
        ],
        "stackTrace": "",
    }


def _terms(seen: SeenExecution) -> dict[str, Any]:
    """What the run was promised at its dispatch; of one that never was dispatched, or by a
    release that kept no receipt, only its class is known."""
    return _called(seen) | _promised(seen)


def _called(seen: SeenExecution) -> dict[str, Any]:
    if seen.call is None:
        return {}
    told = {
        "functionUID": seen.call.function_uid,
        "functionVersion": seen.call.version,
        "revision": seen.call.revision,
    }
    return {name: value for name, value in told.items() if value}


def _promised(seen: SeenExecution) -> dict[str, Any]:
    terms = None if seen.dispatched is None else seen.dispatched.terms
    if terms is None:
        return {"className": seen.class_name} if seen.class_name else {}
    return {
        "className": terms.class_name,
        "language": terms.language,
        "timeoutSeconds": terms.timeout_seconds,
        "outputLimitBytes": terms.output_limit_bytes,
    }


def _receipt(seen: SeenExecution) -> dict[str, Any]:
    """Under what isolation the code ran; absent members are not known."""
    pod, terms = seen.pod, seen.terms
    profile = None if pod is None else pod.network_profile
    receipt: dict[str, Any] = {"networkProfile": profile or "none"}
    if seen.dispatched is not None:
        receipt["podUID"] = seen.dispatched.pod_uid
    if pod is not None:
        known = {"imageID": pod.image_id, "runtimeClass": pod.runtime_class, "node": pod.node}
        receipt.update({key: value for key, value in known.items() if value})
    if terms is not None:
        receipt["limits"] = limit_texts(terms.limits, terms.max_processes)
    if seen.dispatched is not None and seen.dispatched.terms is not None:
        receipt["command"] = list(seen.dispatched.terms.interpreter.command)
    if seen.runner_version:
        receipt["runnerVersion"] = printable(seen.runner_version)[:128]
    return receipt


def _billing(seen: SeenExecution, run: RunDocument | None) -> dict[str, Any] | None:
    """Attributed units and cost; absent while no price plan is known (PostgreSQL was never
    reached) or nothing ran. The ledger bills pods and never adds these."""
    plan, limits = seen.price_plan, seen.limits
    if plan is None or limits is None or run is None or run.duration_milliseconds is None:
        return None
    seconds = Decimal(run.duration_milliseconds) / 1000
    cost = charge(seconds, limits.cpu_millicores, limits.memory_bytes, plan)
    return {
        "computeUnits": f"{cost.compute_units:f}",
        "costUsd": f"{cost.amount:f}",
        "tier": plan.tier,
        "pricePlan": plan.name,
    }
