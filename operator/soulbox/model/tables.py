"""How rows of a type are kept: which table, and what a newer version does to each column.

A row dataclass names its table in `TABLE` and marks the columns that are not simply replaced;
statements are generated from that (store/objects_sql).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_type_hints

_T = TypeVar("_T")


class Rule(StrEnum):
    """What a newer version of an object does to a column."""

    NEWEST = "newest"  # replaces it: every column that is not marked
    FIRST = "first"  # leaves it as it was first written
    KNOWN = "known"  # replaces it, unless the newer version does not know it any more
    SETTLED = "settled"  # replaces it until the object has ended, then only fills what is missing
    SAVED = "saved"  # leaves it true once it is; true also when all output is saved already


First = Annotated[_T, Rule.FIRST]
Known = Annotated[_T, Rule.KNOWN]
Settled = Annotated[_T, Rule.SETTLED]
Saved = Annotated[_T, Rule.SAVED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How changes of a table are told in `changes`.

    Attributes:
        kind: their kind.
        sandbox: the column that names the Sandbox a reader may ask for; None: it has none.
        user: the column with whom it is of; None: all of its tenant.
    """

    kind: str
    sandbox: str | None = None
    user: str | None = "user_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of schema soulbox.

    Attributes:
        key: columns of its primary key.
        uid: the column that holds the UID of the object; "": its rows are no objects.
        month: the column by whose month it is partitioned; None: it is not.
        ended: the column that is null until the object has ended.
        is_closed: a row that has ended is never changed again.
        gone: what more is set when an object was found gone, by column.
        feed: None: its changes are not announced.
        open_states: states in which an object is not counted as used yet; empty: it never is.
        is_part: its rows are parts of what `uid` names, of which there may be several; they are
            written with it, and nobody looks for them one by one.
    """

    name: str
    key: tuple[str, ...]
    uid: str = "uid"
    month: str | None = None
    ended: str | None = None
    is_closed: bool = False
    gone: Mapping[str, str] | None = None
    feed: Feed | None = None
    open_states: tuple[str, ...] = ()
    is_part: bool = False


def rules_of(row_type: type) -> dict[str, Rule]:
    """What becomes of each column of a row, in the order of its fields."""
    hints: dict[str, Any] = get_type_hints(row_type, include_extras=True)
    return {field.name: _rule(hints[field.name]) for field in fields(row_type)}


def _rule(hint: Any) -> Rule:
    marks = (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Rule))
    return next(marks, Rule.NEWEST)
