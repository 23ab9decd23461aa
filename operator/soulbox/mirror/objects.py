"""Rows of a batch into their tables, inside its transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soulbox.mirror.items import Item
from soulbox.model.rows import TableRow
from soulbox.store.objects import ProgramStore, RowStore
from soulbox.store.pool import Transaction
from soulbox.store.state import Epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the transaction will have done once it is committed.

    Attributes:
        rows: rows that were new or changed, programs among them.
        is_told: some of them are changes that readers of the feed wait for.
    """

    rows: int
    is_told: bool


async def write_objects(
    tx: Transaction,
    items: Sequence[Item],
    epochs: Epochs,
    *,
    on_sent: Callable[[], None] = lambda: None,
) -> Written:
    """Write the rows of these items, except for what is billed, and their programs.

    Args:
        on_sent: called once all is sent: from then on the server works.

    Raises:
        StoreUnavailable, StoreRefused: the transaction is lost.
    """
    count, is_told = 0, False
    programs = [item.program for item in items if item.program is not None]
    if programs:
        count += await ProgramStore(tx).insert(programs)
    rows: dict[type[TableRow], list[TableRow]] = {}
    for item in items:
        if item.row is not None:
            rows.setdefault(type(item.row), []).append(item.row)
        for part in item.parts:
            rows.setdefault(type(part), []).append(part)
    # One order for all writers, so that no two wait for each other's rows.
    types = sorted(rows, key=lambda row_type: row_type.TABLE.name)
    stores = [RowStore(tx, row_type) for row_type in types]
    for row_type, store in zip(types, stores, strict=True):
        await store.stage(rows[row_type])
    on_sent()
    for row_type, store in zip(types, stores, strict=True):
        changed = await store.upsert_staged(epochs)
        count += changed
        is_told = is_told or (changed > 0 and row_type.TABLE.feed is not None)
    return Written(rows=count, is_told=is_told)
