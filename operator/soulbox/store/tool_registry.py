"""The registry of tools: search, look-up, figures. Errors as in `reading`."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID

from soulbox.model.errors import InvalidRequest, NotFound
from soulbox.store.cursors import decode_cursor, encode_cursor
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction
from soulbox.store.reading import MAX_LIMIT, History, Page

COUNTED_BY: Final = ("category", "namespace", "state", "tag", "tenant", "type")
STATS_BY: Final = ("tenant", "tool", "version")
# As find_tool() in SQL has it.
_ID: Final = re.compile(r"(?:tool:)?[^/@]+/[^/@]+(?:@[^/@]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFilter:
    """Which tools are meant; None is any.

    Attributes:
        query: words as in a web search; a query without a word finds nothing.
        tags: a tool has all of them.
        category, type: a tool has exactly this.
    """

    query: str | None = None
    tags: tuple[str, ...] | None = None
    category: str | None = None
    type: str | None = None
    tenant: str | None = None


class ToolRegistry:
    """Reads in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("tools")

    async def search(
        self, wanted: ToolFilter, *, limit: int = 20, cursor: str | None = None
    ) -> Page:
        """A page of tools in their current versions: with a query the best first, else by
        namespace and name.

        Args:
            limit: from 1 to 1000.
            cursor: next_cursor of the page before, with the same filter.

        Raises:
            InvalidRequest: limit or cursor make no sense.
            CursorExpired: the database was restored since.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(
                "limit", f"{limit} is not from 1 to {MAX_LIMIT}", "ask for fewer tools"
            )
        parameters = asdict(wanted)
        parameters["tags"] = None if wanted.tags is None else sorted(set(wanted.tags))
        purpose = f"tools {sorted((name, str(value)) for name, value in parameters.items())}"
        epoch = await History(self._tx).epoch()
        rank = namespace = name = uid = None
        if cursor is not None:
            rank, namespace, name, uid = decode_cursor(purpose, epoch, cursor)
        # One row more than asked for tells whether there is a next page.
        found = await self._tx.fetch(
            self._queries["search_tools"],
            {
                **parameters,
                "limit": limit + 1,
                "after_rank": float(rank) if rank else None,
                "after_namespace": namespace,
                "after_name": name,
                "after_uid": uid,
            },
        )
        return Page(
            rows=found[:limit],
            next_cursor=encode_cursor(purpose, epoch, _place(found[limit - 1]))
            if len(found) > limit
            else None,
        )

    async def find(self, tool_id: str, tenant: str | None = None) -> dict[str, Any]:
        """A version of a tool with its code, also one that was withdrawn; where the id names no
        version the current one.

        Raises:
            InvalidRequest: it is no tool's id.
            NotFound: there is none that this login may see.
        """
        check_tool_id("id", tool_id)
        found = await self._tx.fetch(self._queries["find_tool"], {"id": tool_id, "tenant": tenant})
        if not found:
            raise NotFound(f"no tool {tool_id[:128]} is recorded, or it is of another tenant")
        return found[0]

    async def count(self, by: str, tenant: str | None = None) -> dict[str, int]:
        """How many tools there are of each category, namespace, state, tag, tenant or type.

        Raises:
            InvalidRequest: they are not counted by that.
        """
        _check_by(by, COUNTED_BY)
        found = await self._tx.fetch(self._queries["count_tools"], {"by": by, "tenant": tenant})
        return {row["key"]: row["tools"] for row in found}

    async def stats(
        self,
        days: int,
        by: str = "tool",
        *,
        tenant: str | None = None,
        function_uid: UUID | None = None,
    ) -> list[dict[str, Any]]:
        """Calls of the last days by tool, version or tenant, the most called first. All figures
        are exact but the percentiles, which are at most 12.5 % off.

        Args:
            days: from 1 to 3660: since midnight (UTC) so many days ago.
            function_uid: of this Function alone.

        Raises:
            InvalidRequest: days or by make no sense.
        """
        if not 1 <= days <= 3660:
            raise InvalidRequest("days", f"{days} is not from 1 to 3660", "correct it")
        _check_by(by, STATS_BY)
        parameters = {"days": days, "by": by, "tenant": tenant, "function": function_uid}
        return await self._tx.fetch(self._queries["tool_stats"], parameters)


def check_tool_id(field: str, text: str) -> None:
    """Refuse what cannot be one.

    Raises:
        InvalidRequest: of this field.
    """
    if "\0" in text or _ID.fullmatch(text) is None:
        raise InvalidRequest(
            field,
            f"{text[:128]!r} is not a tool's id",
            "write tool:NAMESPACE/NAME@VERSION, or tool:NAMESPACE/NAME for the current version",
        )


def _place(row: dict[str, Any]) -> list[Any]:
    """Where a page ends. The rank as text: a cursor holds no fractions."""
    rank = "" if row["rank"] is None else repr(row["rank"])
    return [rank, row["namespace"], row["name"], row["function_uid"]]


def _check_by(by: str, allowed: tuple[str, ...]) -> None:
    if by not in allowed:
        raise InvalidRequest(
            "by", f"{by[:64]!r} is not a possible value", f"use one of {', '.join(allowed)}"
        )
