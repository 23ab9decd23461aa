"""What one operator process knows of Executions beyond the objects."""

from dataclasses import dataclass, field
from datetime import datetime

from soulbox.judge.verdicts import Verdict
from soulbox.kinds.execution.decide.seen import RunProblem
from soulbox.kinds.execution.queue import Turns
from soulbox.reconcile.aside import Aside
from soulbox.reconcile.refusals import Refusals


@dataclass(slots=True, kw_only=True)
class ExecutionMemory:
    """By uid; all of it can be asked again. For one event loop."""

    turns: Turns
    # Inputs and results that are being judged.
    judging: Aside[Verdict]
    # Why the API server refuses their pods.
    refusals: Refusals[RunProblem] = field(default_factory=Refusals)
    # Those of which every byte of output is saved.
    saved_outputs: set[str] = field(default_factory=set)
    # The version whose inputSchema the input matched.
    judged: dict[str, str] = field(default_factory=dict)
    # Since when the judge's word on the input, or on the result, is missing, Unix seconds.
    unjudged_since: dict[str, float] = field(default_factory=dict)
    # When this process dispatched each that has not ended yet.
    dispatched_at: dict[str, datetime] = field(default_factory=dict)
    # When its place in the queue was last written, Unix seconds.
    told: dict[str, float] = field(default_factory=dict)

    def forget(self, uid: str) -> None:
        """It is over, or gone."""
        self.refusals.drop(uid)
        self.saved_outputs.discard(uid)
        self.judged.pop(uid, None)
        self.judging.forget(uid)
        self.unjudged_since.pop(uid, None)
        self.dispatched_at.pop(uid, None)
        self.told.pop(uid, None)
        self.turns.drop(uid)
