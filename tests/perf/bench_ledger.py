"""The bench's ledger: billed from its pods by the code that bills, and proved by the code that
proves; of any other `soulbox billing verify` would find only differences.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

from soulbox.model.billing import BillingEvent
from soulbox.model.rows import PodRunRow
from soulbox.pure.metering import bill_run
from soulbox.store.files import load_queries
from soulbox.store.ledger import LedgerStore, PriceStore
from soulbox.store.pool import Store, open_store
from soulbox.store.staging import row_of
from soulbox.store.verify import Scope, Verification

_PORTION = 5_000


def bill_pods(dsn: str, since: datetime | None = None) -> int:
    """Bill all pods that ran since then; returns how many rows were new."""
    return asyncio.run(_bill_pods(dsn, since))


async def _bill_pods(dsn: str, since: datetime | None) -> int:
    made = 0
    store = await open_store(dsn, statement_timeout_seconds=600)
    async with store.transaction() as tx:
        prices = await PriceStore(tx).book()
        query = load_queries("verify")["pods"]
        params = {"tenant": None, "since": since, "until": None}
        async for portion in tx.stream(query, params, portion=_PORTION):
            runs = [row_of(PodRunRow, row) for row in portion]
            made += await _add(store, [event for run in runs for event in bill_run(run, prices)])
    await store.close()
    return made


async def _add(store: Store, events: Sequence[BillingEvent]) -> int:
    if not events:
        return 0
    async with store.transaction() as tx:
        return await LedgerStore(tx).insert(events)


def verify(dsn: str) -> str:
    """What `soulbox billing verify` does to the whole ledger: a line of how long it took."""
    return asyncio.run(_verify(dsn))


async def _verify(dsn: str) -> str:
    store = await open_store(dsn, statement_timeout_seconds=600)
    run = Verification(store, Scope())
    started = time.perf_counter()
    found = [finding async for finding in run.findings()]
    seconds = time.perf_counter() - started
    await store.close()
    ledger = run.summary.ledger
    return (
        f"billing verify: {run.summary.pods:,} pods, {ledger.rows:,} ledger rows and all sums"
        f" of use in {seconds:.1f} s; {len(found)} findings"
    )
