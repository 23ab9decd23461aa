"""What the judge says, for its callers."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How an ask ended. The last four are the fault of the schema's or expression's owner."""

    GOOD = "Good"
    # The document does not match the schema; the expression failed on these inputs.
    BAD = "Bad"
    # The schema or expression itself is refused.
    REFUSED = "Refused"
    # It took more CPU time than one ask may.
    LATE = "Late"
    # It needed more memory than the child has.
    OUTGREW = "Outgrew"
    # It ended the child in another way (stack, abort, an answer that makes no sense).
    DIED = "Died"


class Type(StrEnum):
    """Types of CEL that variables and results are declared with."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    LIST = "list"
    MAP = "map"
    # Whatever JSON holds: checked when it is evaluated.
    ANY = "dyn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one ask.

    Attributes:
        problems: one line each, with the field's name, fit for a condition; empty when good.
            At most ten of at most 300 letters.
        value: what an expression resulted in, as JSON would hold it; None for everything else.
    """

    outcome: Outcome
    problems: tuple[str, ...] = ()
    value: Any = field(default=None)

    @property
    def good(self) -> bool:
        """Nothing to object."""
        return self.outcome is Outcome.GOOD

    @property
    def blames_schema(self) -> bool:
        """The owner of the schema or expression must change it; the document may be innocent.

        Of a document that somebody else sent it says no more than that this one cannot be judged:
        a schema that was published is not withdrawn for it, or callers could do that.
        """
        return self.outcome not in (Outcome.GOOD, Outcome.BAD)

    @property
    def message(self) -> str:
        """All problems in one line."""
        return "; ".join(self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The judge at this moment.

    Attributes:
        waiting: asks that wait for their turn or are judged.
        suspected: owners and schemas that are judged apart now.
        ended: children that ended, by what ended them ("Late", "Outgrew", "Died", "Spent",
            "Silent", "Killed").
    """

    waiting: int
    suspected: int
    ended: dict[str, int]
