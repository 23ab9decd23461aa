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

from soulbox.build.rows import RowContext, RowError
from soulbox.mirror.bills import Debt, bill_pods, record_pods
from soulbox.mirror.items import Item, build_item
from soulbox.mirror.pending import Sighting
from soulbox.model.errors import StoreRefused
from soulbox.model.rows import ExecutionRow, SandboxRow
from soulbox.model.states import Kind
from soulbox.store.care import DeadLetter, DeadLetterStore
from soulbox.store.feed import FeedStore
from soulbox.store.objects import ObjectStore, ProgramStore
from soulbox.store.pool import Store, Transaction
from soulbox.store.state import Epochs, StateStore

_KINDS = {kind.value: kind for kind in (Kind.SANDBOX, Kind.EXECUTION, Kind.POD)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of a letter; problem is None when it is written and removed."""

    id: int
    kind: str
    uid: str
    problem: str | None


async def retry_dead_letters(store: Store, ids: Sequence[int] | None) -> list[Retried]:
    """Try these, or all for None.

    Raises:
        StoreUnavailable: PostgreSQL cannot be used; those before are done.
    """
    async with store.transaction() as tx:
        letters = await DeadLetterStore(tx).take(ids)
    return [
        Retried(id=letter.id, kind=letter.kind, uid=letter.uid, problem=await _retry(store, letter))
        for letter in letters
    ]


async def _retry(store: Store, letter: DeadLetter) -> str | None:
    kind = _KINDS.get(letter.kind)
    if kind is None:
        return f"a {letter.kind} is not tried again: a person must look at it"
    try:
        item = _item(letter, kind)
        if item.execution is not None:
            async with store.transaction() as tx:
                await StateStore(tx).ensure_partitions([item.execution.created_at])
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


def _item(letter: DeadLetter, kind: Kind) -> Item:
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
    return build_item(sighting, context)


async def _write(tx: Transaction, item: Item, epochs: Epochs) -> Sequence[Debt]:
    """Returns what is still to be billed."""
    if item.sandbox is not None:
        await ObjectStore(tx, SandboxRow).upsert([item.sandbox], epochs)
    if item.program is not None:
        await ProgramStore(tx).insert([item.program])
    if item.execution is not None:
        await ObjectStore(tx, ExecutionRow).upsert([item.execution], epochs)
    if item.pod is not None:
        return (await record_pods(tx, [item], epochs)).bills.rest
    return ()
