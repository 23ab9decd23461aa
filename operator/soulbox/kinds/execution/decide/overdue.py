"""Runs that should be over and are not, and runs that may be tried again.

The runner ends a program at its timeoutSeconds. It may be unable to say so (its node hangs,
the network is cut), or unwilling (user code took its place): an Execution ends all the same.
"""

from datetime import datetime

from soulbox.kinds.execution.decide.seen import Dispatched, SeenExecution
from soulbox.kinds.execution.decide.status import Ending
from soulbox.model.runs import RunDocument
from soulbox.model.specs import MAX_ATTEMPTS, ExecutionSpec
from soulbox.model.states import ExecutionReason, ExecutionState
from soulbox.model.times import parse_time

# Longer than a long poll (30 s) with the reply's own time-out (10 s) and a retry: a runner
# that is well has answered within it.
GRACE_SECONDS = 60.0
# Losses that are not the program's doing. A program over its memory would be so again.
LOSSES = frozenset({ExecutionReason.LOST, ExecutionReason.EVICTED, ExecutionReason.NODE_LOST})
# A Function has other Sandboxes, or gets one.
_LOSSES_OF_CALLS = LOSSES | {ExecutionReason.SANDBOX_TERMINATED}


def over_seconds(seen: SeenExecution, now: datetime) -> float | None:
    """Seconds since the run should have ended, negative before; None: not to be told."""
    if seen.terms is None:
        return None
    run = seen.run
    started = run.start_time if isinstance(run, RunDocument) else None
    started = started or parse_time(seen.status.get("startTime"))
    lasted = [
        # A runner may tell another start each time, or none at all for ever.
        seen.followed_seconds,
        (now - started).total_seconds() if started is not None else None,
        # Without a start: not a word since it was asked to start the run.
        seen.silent_seconds if started is None else None,
    ]
    known = [seconds for seconds in lasted if seconds is not None]
    return max(known) - seen.terms.timeout_seconds if known else None


def ending_of_overdue(seen: SeenExecution, now: datetime) -> Ending | None:
    """The end of a run whose runner does not tell it, None while it may still come."""
    over, silent = over_seconds(seen, now), seen.silent_seconds
    if over is None or silent is None or over < GRACE_SECONDS:
        return None
    run = seen.run if isinstance(seen.run, RunDocument) else None
    if silent >= GRACE_SECONDS:
        return Ending(
            state=ExecutionState.FAILED,
            reason=ExecutionReason.LOST,
            message=(
                f"Its runner has not answered for {int(silent)} s, and the time given to the "
                f"program ended {int(over)} s ago. Whether the code ran to its end is not known; "
                "delete the Sandbox's pod if it answers nobody."
            ),
            run=run,
        )
    if over < 2 * GRACE_SECONDS:
        return None
    return Ending(
        state=ExecutionState.TIMEOUT,
        reason=ExecutionReason.TIMED_OUT,
        message=(
            f"The time given to the program ended {int(over)} s ago, and its runner still says "
            "that it runs: it is not waited for any longer. Do not trust this Sandbox."
        ),
        run=run,
    )


def may_run_again(seen: SeenExecution, dispatched: Dispatched, ending: Ending) -> bool:
    """Whether a loss is followed by another attempt."""
    if not isinstance(seen.spec, ExecutionSpec) or not seen.spec.idempotent:
        return False
    losses = LOSSES if seen.call is None else _LOSSES_OF_CALLS
    if seen.cancel_wanted or ending.reason not in losses:
        return False
    return dispatched.attempt < MAX_ATTEMPTS
