"""Retention: whole partitions are dropped, single rows never are.

A partition goes once all of it is older than what is kept, so rows live up to one
partition (a month, of resource_metrics a day) longer. The ledger and what proves it
(pod_runs, price_plans) have no partitions and are never dropped.
"""

from soulbox.model.retention import RetentionPolicy
from soulbox.store.files import load_queries
from soulbox.store.pool import Store


async def retain(store: Store, policy: RetentionPolicy, *, dry_run: bool = False) -> list[str]:
    """Drop the partitions that are past the policy. Safe to repeat.

    Args:
        dry_run: only tell which they are.

    Returns:
        Names of the partitions dropped (dry run: to drop), oldest first in each table.

    Raises:
        StoreUnavailable: PostgreSQL is away, or somebody read such a partition for longer
            than the 5 s that dropping waits; those of other tables may be gone.
    """
    query = load_queries("state")["expired_partitions" if dry_run else "drop_expired"]
    dropped: list[str] = []
    for parent, keep in policy.by_table().items():
        # A transaction each: the lock on one table is not held while another is waited for.
        async with store.transaction() as tx:
            rows = await tx.fetch(query, {"parent": parent, **keep})
        dropped += [row["name"] for row in rows]
    return dropped


async def partition_horizon(store: Store) -> dict[str, float]:
    """Seconds from now on for which each partitioned table has partitions.

    Raises:
        StoreUnavailable: PostgreSQL cannot be used now.
    """
    async with store.transaction() as tx:
        rows = await tx.fetch(load_queries("state")["partition_horizon"])
    return {row["parent"]: row["seconds"] for row in rows}
