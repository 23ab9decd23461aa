"""The named reports: one catalogue for `soulbox query` and for programs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from soulbox.model.errors import InvalidRequest, StoreRefused
from soulbox.model.times import requested_time
from soulbox.pure.log_lines import LogLevel
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction
from soulbox.store.reading import Filter, History
from soulbox.store.tool_registry import (
    COUNTED_BY,
    STATS_BY,
    ToolFilter,
    ToolRegistry,
    check_tool_id,
)

_REQUIRED: Final = object()
# sandbox, execution, object: a UID, or NAMESPACE/NAME, of which the newest is meant. texts: with
# commas between.
Kind = Literal["text", "texts", "uuid", "sandbox", "execution", "object", "tool", "int", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of a report.

    Attributes:
        default: what is taken when it is left out; without one it must be given.
        at_least, at_most: bounds of an int.
        one_of: what a text may be; empty is anything.
    """

    kind: Kind
    default: Any = _REQUIRED
    at_least: int = 1
    at_most: int = 1000
    one_of: tuple[str, ...] = ()

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is _REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report: its purpose for people, its parameters by name.

    Attributes:
        query: its statement in db/queries/reports.sql; None is a list page by page.
        one_of: of these parameters at least one must be given.
    """

    purpose: str
    params: Mapping[str, Param]
    query: str | None = None
    one_of: tuple[str, ...] = ()


_LIMIT: Final = Param(kind="int", default=50)
_DAYS: Final = Param(kind="int", default=7, at_most=3660)
_FILTERS: Final = {
    "tenant": Param(kind="text", default=None),
    "user": Param(kind="text", default=None),
    "state": Param(kind="text", default=None),
    "from": Param(kind="time", default=None),
    "to": Param(kind="time", default=None),
    "limit": _LIMIT,
    "cursor": Param(kind="text", default=None),
}
_OPTIONAL_SANDBOX: Final = Param(kind="sandbox", default=None)
_OPTIONAL_EXECUTION: Final = Param(kind="execution", default=None)
_BY: Final = (
    "class",
    "day",
    "language",
    "namespace",
    "program",
    "sandbox",
    "tenant",
    "user",
)

REPORTS: Final[Mapping[str, Report]] = {
    "dashboard": Report(
        purpose="a user at a glance: active sandboxes, last 10 Executions, 24 hours",
        params={"user": Param(kind="text"), "tenant": Param(kind="text", default=None)},
        query="report_dashboard",
    ),
    "usage": Report(
        purpose="CPU and memory of a sandbox over [from, to): average and peak",
        params={
            "sandbox": Param(kind="sandbox"),
            "from": Param(kind="time"),
            "to": Param(kind="time"),
        },
        query="report_usage",
    ),
    "statistics": Report(
        purpose="Executions of the last days by class, day, language, namespace, program,"
        " sandbox, tenant or user",
        params={"days": _DAYS, "by": Param(kind="text", default="class", one_of=_BY)},
        query="report_statistics",
    ),
    "executions": Report(
        purpose="Executions, newest first, page by page",
        params={"sandbox": _OPTIONAL_SANDBOX, **_FILTERS},
    ),
    "sandboxes": Report(purpose="Sandboxes, newest first, page by page", params=_FILTERS),
    "owns": Report(
        purpose="which Sandboxes a user owns, or who owns a Sandbox",
        params={
            "user": Param(kind="text", default=None),
            "sandbox": _OPTIONAL_SANDBOX,
            "tenant": Param(kind="text", default=None),
            "limit": _LIMIT,
        },
        query="report_owns",
        one_of=("user", "sandbox"),
    ),
    "runs": Report(
        purpose="which Executions a Sandbox ran, or in which an Execution ran",
        params={"sandbox": _OPTIONAL_SANDBOX, "execution": _OPTIONAL_EXECUTION, "limit": _LIMIT},
        query="report_runs",
        one_of=("sandbox", "execution"),
    ),
    "generates": Report(
        purpose="which bills an Execution is part of, or which Executions a bill covers",
        params={
            "execution": _OPTIONAL_EXECUTION,
            "event": Param(kind="uuid", default=None),
            "limit": _LIMIT,
        },
        query="report_generates",
        one_of=("execution", "event"),
    ),
    "metrics": Report(
        purpose="the samples of its sandbox while an Execution ran",
        params={"execution": Param(kind="execution"), "limit": _LIMIT},
        query="report_metrics",
    ),
    "code": Report(
        purpose="programs by words of their code, best first; as in a web search",
        params={
            "query": Param(kind="text"),
            "limit": Param(kind="int", default=20, at_most=200),
        },
        query="report_code",
    ),
    "output": Report(
        purpose="Executions of the last days by words of their output, best first",
        params={
            "query": Param(kind="text"),
            "days": Param(kind="int", default=1, at_most=3660),
            "limit": Param(kind="int", default=20, at_most=200),
        },
        query="report_output",
    ),
    "history": Report(
        purpose="what happened to a Sandbox or Execution, in order",
        params={"uid": Param(kind="object")},
        query="report_history",
    ),
    "slowest": Report(
        purpose="programs of the last days by their p95 duration",
        params={"days": _DAYS, "limit": Param(kind="int", default=20)},
        query="report_slowest",
    ),
    "failing": Report(
        purpose="programs of the last days by how often they failed",
        params={"days": _DAYS, "limit": Param(kind="int", default=20)},
        query="report_failing",
    ),
    "tools": Report(
        purpose="tools by words of their name, title, tags and description, best first;"
        " without words all",
        params={
            "query": Param(kind="text", default=None),
            "tags": Param(kind="texts", default=None),
            "category": Param(kind="text", default=None),
            "type": Param(kind="text", default=None),
            "tenant": Param(kind="text", default=None),
            "limit": Param(kind="int", default=20),
            "cursor": Param(kind="text", default=None),
        },
    ),
    "tool": Report(
        purpose="one tool by its id, also a version that was withdrawn",
        params={"id": Param(kind="tool"), "tenant": Param(kind="text", default=None)},
        query="report_tool",
    ),
    "tool-counts": Report(
        purpose="how many tools there are by category, namespace, state, tag, tenant or type",
        params={
            "by": Param(kind="text", default="category", one_of=COUNTED_BY),
            "tenant": Param(kind="text", default=None),
        },
        query="report_tool_counts",
    ),
    "tool-stats": Report(
        purpose="calls of tools of the last days by tool, version or tenant, with their cost",
        params={
            "days": _DAYS,
            "by": Param(kind="text", default="tool", one_of=STATS_BY),
            "tenant": Param(kind="text", default=None),
        },
        query="report_tool_stats",
    ),
    "logs": Report(
        purpose="what a call of a Function logged, in order",
        params={
            "execution": Param(kind="execution"),
            "level": Param(
                kind="text", default="debug", one_of=tuple(level.value for level in LogLevel)
            ),
            "limit": Param(kind="int", default=1000),
        },
        query="report_logs",
    ),
    "health": Report(purpose="this server and database", params={}, query="report_health"),
    "tables": Report(
        purpose="rows, changes and sizes of each table", params={}, query="report_tables"
    ),
    "partitions": Report(
        purpose="which times each partition holds, and its size",
        params={},
        query="report_partitions",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Rows of a report; next_cursor is None where there is no more, or no paging."""

    rows: list[dict[str, Any]]
    next_cursor: str | None = None


def parse_params(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of a report from texts, with defaults for those left out.

    Raises:
        InvalidRequest: no such report or parameter, a value that is none, one missing.
    """
    report = REPORTS.get(name)
    if report is None:
        raise InvalidRequest(
            "name", f"there is no report {name[:64]!r}", f"one of {_list(REPORTS)}"
        )
    for unknown in given.keys() - report.params.keys():
        raise InvalidRequest(
            unknown[:64], f"{name} has no such parameter", f"it has {_list(report.params)}"
        )
    values = {
        param_name: _parse(param_name, param, given[param_name])
        if param_name in given
        else _default(name, param_name, param)
        for param_name, param in report.params.items()
    }
    if report.one_of and all(values[one] is None for one in report.one_of):
        raise InvalidRequest(
            report.one_of[0], "there is nothing to look for", f"give {' or '.join(report.one_of)}"
        )
    start, end = values.get("from"), values.get("to")
    if start is not None and end is not None and start > end:
        raise InvalidRequest("from", "it is later than to", "swap them")
    return values


async def run_report(tx: Transaction, name: str, values: Mapping[str, Any]) -> Result:
    """Run one.

    Args:
        values: as `parse_params` gives them.

    Raises:
        InvalidRequest, CursorExpired: a filter or cursor makes no sense.
        StoreRefused, StoreUnavailable: from PostgreSQL.
    """
    report = REPORTS[name]
    values = {
        param: await _find_uid(tx, param, value) if isinstance(value, ObjectName) else value
        for param, value in values.items()
    }
    if report.query is not None:
        try:
            return Result(rows=await tx.fetch(load_queries("reports")[report.query], values))
        except StoreRefused as error:
            if error.constraint != "dashboard_tenant":
                raise
            raise InvalidRequest(
                "tenant",
                f"user {str(values['user'])[:64]!r} is in several",
                "name one: the same name in two tenants is two people",
            ) from error
    if name == "tools":
        tools = ToolFilter(
            query=values["query"],
            tags=values["tags"],
            category=values["category"],
            type=values["type"],
            tenant=values["tenant"],
        )
        registry = ToolRegistry(tx)
        page = await registry.search(tools, limit=values["limit"], cursor=values["cursor"])
        return Result(rows=page.rows, next_cursor=page.next_cursor)
    history = History(tx)
    wanted = Filter(
        tenant=values["tenant"],
        user_name=values["user"],
        state=values["state"],
        sandbox_uid=values.get("sandbox"),
        since=values["from"],
        until=values["to"],
    )
    listed = history.executions if name == "executions" else history.sandboxes
    page = await listed(wanted, limit=values["limit"], cursor=values["cursor"])
    return Result(rows=page.rows, next_cursor=page.next_cursor)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A Sandbox or Execution as people call it."""

    kinds: tuple[str, ...]
    namespace: str
    name: str


async def find_object(tx: Transaction, param: str, kinds: tuple[str, ...], text: str) -> UUID:
    """The UID that a UID or NAMESPACE/NAME means.

    Raises:
        InvalidRequest: none.
    """
    found = _parse_object(param, kinds, text)
    return await _find_uid(tx, param, found) if isinstance(found, ObjectName) else found


async def _find_uid(tx: Transaction, param: str, wanted: ObjectName) -> UUID:
    """The UID of the newest object of that name which this login may see.

    Raises:
        InvalidRequest: there is none, or two kinds have the name.
    """
    query = load_queries("reports")["report_find_uid"]
    named = {"kinds": list(wanted.kinds), "namespace": wanted.namespace, "name": wanted.name}
    rows = await tx.fetch(query, named)
    words = f"{wanted.namespace}/{wanted.name}"
    if not rows:
        raise InvalidRequest(
            param, f"no {' or '.join(wanted.kinds)} {words[:128]} is recorded", "give its UID"
        )
    if len(rows) > 1:
        raise InvalidRequest(
            param, f"a sandbox and an execution are named {words[:128]}", "give the UID of one"
        )
    uid: UUID = rows[0]["uid"]
    return uid


def _parse_object(param: str, kinds: tuple[str, ...], text: str) -> UUID | ObjectName:
    try:
        return UUID(text)
    except ValueError:
        pass
    namespace, given, name = text.rpartition("/")
    if not (given and namespace and name):
        raise InvalidRequest(
            param,
            f"{text[:64]!r} is not a UID",
            "it looks like 0e5ad7a2-3d8b-…, or write NAMESPACE/NAME",
        )
    return ObjectName(kinds, namespace, name)


def _default(report: str, name: str, param: Param) -> Any:
    if param.is_required:
        raise InvalidRequest(name, f"{report} needs it", f"give --param {name}=…")
    return param.default


def _parse(name: str, param: Param, text: str) -> Any:
    if "\0" in text:
        raise InvalidRequest(name, "it holds a NUL character", "leave that out")
    match param.kind:
        case "text":
            if param.one_of and text not in param.one_of:
                raise InvalidRequest(
                    name,
                    f"{text[:64]!r} is not a possible value",
                    f"use one of {', '.join(param.one_of)}",
                )
            return text
        case "texts":
            return tuple(word for word in text.split(",") if word)
        case "tool":
            check_tool_id(name, text)
            return text
        case "uuid":
            try:
                return UUID(text)
            except ValueError:
                raise InvalidRequest(
                    name, f"{text[:64]!r} is not a UID", "it looks like 0e5ad7a2-3d8b-…"
                ) from None
        case "sandbox" | "execution":
            return _parse_object(name, (param.kind,), text)
        case "object":
            return _parse_object(name, ("sandbox", "execution"), text)
        case "int":
            return _parse_int(name, param, text)
        case "time":
            return requested_time(name, text)


def _parse_int(name: str, param: Param, text: str) -> int:
    number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if not param.at_least <= number <= param.at_most:
        raise InvalidRequest(
            name,
            f"{text[:64]!r} is not a number from {param.at_least} to {param.at_most}",
            "correct it",
        )
    return number


def _list(names: "Mapping[str, Any] | tuple[str, ...]") -> str:
    return ", ".join(names) or "none"
