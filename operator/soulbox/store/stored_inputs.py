"""What a Function was called with. Errors as in `reading`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from soulbox.store.files import load_queries
from soulbox.store.pool import Store

# An input has at most 256 KiB.
_PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """One call.

    Attributes:
        input: JSON; null where the call had none.
        version: None where it never came to one.
        reason: of its end, so far.
    """

    uid: UUID
    created_at: datetime
    name: str
    version: str | None
    reason: str | None
    input: bytes


class StoredInputs:
    """Reads a page a transaction: what is done with a page may take its time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queries = load_queries("calls")

    async def functions_named(self, namespace: str, name: str) -> list[UUID]:
        """Functions that have or had this name, as far as this login may see them."""
        async with self._store.transaction() as tx:
            found = await tx.fetch(
                self._queries["functions_named"], {"namespace": namespace, "name": name}
            )
        return [row["uid"] for row in found]

    async def calls(self, function_uid: UUID, since: datetime) -> AsyncIterator[StoredCall]:
        """Calls from a moment on, the newest first; that moment included."""
        after: StoredCall | None = None
        while True:
            async with self._store.transaction() as tx:
                found = await tx.fetch(
                    self._queries["stored_inputs"],
                    {
                        "function": function_uid,
                        "since": since,
                        "after_at": after and after.created_at,
                        "after_uid": after and after.uid,
                        "limit": _PAGE,
                    },
                )
            for row in found:
                after = StoredCall(
                    uid=row["uid"],
                    created_at=row["created_at"],
                    name=row["name"],
                    version=row["function_version"],
                    reason=row["reason"],
                    input=row["input"].encode(),
                )
                yield after
            if len(found) < _PAGE:
                return
