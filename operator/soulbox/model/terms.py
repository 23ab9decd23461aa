"""Under what terms a run is started: decided when it is dispatched, and fixed from then on.

Classes and Sandboxes change while programs run; what a run was promised does not. The
operator writes the terms on the Execution in the same patch as the dispatch mark
(`kinds/execution/receipt.py`), and all code that needs one reads it there.
"""

from dataclasses import dataclass

from soulbox.model.specs import Interpreter, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """The terms of one dispatch; another attempt gets its own."""

    class_name: str
    language: str
    interpreter: Interpreter
    timeout_seconds: int
    output_limit_bytes: int  # kept of each stream, and of all captured files
    max_processes: int
    limits: Limits  # of its pod
