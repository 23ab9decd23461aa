"""From Kubernetes objects to rows: what was is written down.

Belongs here: what is written when (bounded map, batches, back-off, repair, dead letters),
and what may be forgotten once it is committed. Does not belong here: statements (store),
what a row or a bill looks like (build/rows, pure/metering), what to do with a cluster
(reconcile). It may wait for PostgreSQL; nobody waits for it.
"""

from soulbox.mirror.fence import LeaderFenced
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.mirror import Mirror
from soulbox.mirror.pending import Sighting
from soulbox.mirror.settings import MirrorSettings, MirrorStatistics
from soulbox.mirror.spool import Spool, check_directory
from soulbox.pure.fields import RowContext
from soulbox.store.state import acquire_epoch

__all__ = [
    "ItemBuilder",
    "LeaderFenced",
    "Mirror",
    "MirrorSettings",
    "MirrorStatistics",
    "RowContext",
    "Sighting",
    "Spool",
    "acquire_epoch",
    "check_directory",
]
