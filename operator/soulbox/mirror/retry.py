"""Dead letters tried again, once what refused them was mended.

Under the epochs of the present leader, which goes on writing: rows are guarded by their
versions, so that an old letter never overwrites what is newer. A letter that is refused
again stays, with its new error in the answer alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from soulbox.mirror.bills import Debt, bill_pods, record_pods
from soulbox.mirror.entry import MirrorEntry
from soulbox.mirror.items import Item, ItemBuilder
from soulbox.mirror.objects import write_objects
from soulbox.mirror.pending import Sighting
from soulbox.model.errors import StoreRefused
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext, RowError
from soulbox.store.care import DeadLetter, DeadLetterStore
from soulbox.store.feed import FeedStore
from soulbox.store.pool import Store, Transaction
from soulbox.store.state import Epochs, StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of a letter; problem is None when it is written and removed."""

    id: int
    kind: str
    uid: str
    problem: str | None


async def retry_dead_letters(
    store: Store, entries: Sequence[MirrorEntry], ids: Sequence[int] | None
) -> list[Retried]:
    """Try these, or all for None.

    Args:
        entries: the kinds that are mirrored.

    Raises:
        StoreUnavailable: PostgreSQL cannot be used; those before are done.
    """
    async with store.transaction() as tx:
        letters = await DeadLetterStore(tx).take(ids)
    kinds = {entry.kind.value: entry for entry in entries}
    return [
        Retried(
            id=letter.id,
            kind=letter.kind,
            uid=letter.uid,
            problem=await _retry(store, letter, kinds.get(letter.kind), entries),
        )
        for letter in letters
    ]


async def _retry(
    store: Store,
    letter: DeadLetter,
    entry: MirrorEntry | None,
    entries: Sequence[MirrorEntry],
) -> str | None:
    if entry is None:
        return f"a {letter.kind} is not tried again: a person must look at it"
    try:
        item = _item(letter, entry.kind, entries)
        if item.row is not None and item.row.TABLE.month is not None:
            async with store.transaction() as tx:
                moment = getattr(item.row, item.row.TABLE.month)
                await StateStore(tx).ensure_partitions([moment])
        async with store.transaction() as tx:
            if not await DeadLetterStore(tx).take([letter.id]):
                return "another retry has it"
            epochs = await StateStore(tx).lock_epochs(letter.cluster)
            if epochs is None:
                return "no operator has written for this cluster yet"
            debts = await _write(tx, item, epochs)
            FeedStore(tx).notify(letter.cluster)
            if not debts:
                await DeadLetterStore(tx).remove(letter.id)
        while debts:
            async with store.transaction() as tx:
                await StateStore(tx).lock_epochs(letter.cluster)
                debts = (await bill_pods(tx, debts)).rest
                if not debts:
                    await DeadLetterStore(tx).remove(letter.id)
    except (StoreRefused, RowError, ValueError) as error:
        return str(error)[:512]
    return None


def _item(letter: DeadLetter, kind: Kind, entries: Sequence[MirrorEntry]) -> Item:
    manifest: Any = json.loads(letter.payload)
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    version = str(metadata.get("resourceVersion")) if isinstance(metadata, dict) else ""
    sighting = Sighting(
        kind=kind,
        uid=letter.uid,
        manifest=manifest,
        version=int(version) if version.isascii() and version.isdigit() else -1,
        deleted=False,
        seen_at=datetime.now(UTC),
        waiting_since=0.0,
    )
    tenant = letter.tenant
    context = RowContext(
        cluster_uid=str(letter.cluster), tenant_of=lambda namespace: tenant or namespace
    )
    return ItemBuilder(entries, context).build(sighting)


async def _write(tx: Transaction, item: Item, epochs: Epochs) -> Sequence[Debt]:
    """Returns what is still to be billed."""
    await write_objects(tx, [item], epochs)
    if item.pod is not None:
        return (await record_pods(tx, [item], epochs)).bills.rest
    return ()
