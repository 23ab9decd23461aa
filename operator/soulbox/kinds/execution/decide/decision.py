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

from datetime import datetime

from soulbox.kinds.execution.decide.actions import Action, Decision, Dispatch
from soulbox.kinds.execution.decide.dispatched import decide_dispatched
from soulbox.kinds.execution.decide.end import failed, finish
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.decide.waiting import decide_waiting
from soulbox.kinds.execution.decide.wind_down import wind_down
from soulbox.model.states import ExecutionReason


def decide_execution(seen: SeenExecution, now: datetime) -> Decision:
    """The next actions for one Execution; the same input gives the same answer."""
    decision = _decide(seen, now)
    # An object that is replaced by its manifest loses it.
    had_pod = seen.dispatched is not None or seen.own_pods
    brings_it = any(isinstance(action, Dispatch) for action in decision.actions)
    if not seen.has_finalizer and not seen.deleting and (had_pod or seen.state.is_final):
        decision = decision if brings_it else decision.with_finalizer()
    return decision


def _decide(seen: SeenExecution, now: datetime) -> Decision:
    if seen.state.is_final:
        return wind_down(seen, now)
    if seen.dispatched is not None:
        return decide_dispatched(seen, seen.dispatched, now)
    return decide_waiting(seen, now)


def give_up(seen: SeenExecution, message: str, now: datetime) -> tuple[Action, ...]:
    """The end of one that the operator cannot bring further; nothing where code may have run."""
    if seen.dispatched is not None or seen.state.is_final:
        return ()
    return finish(seen, failed(ExecutionReason.START_FAILED, message), now).actions
