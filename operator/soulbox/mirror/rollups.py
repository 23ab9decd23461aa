"""Keeps the sums of use up to date beside the writer: a small step at a time, so that no
object waits long for its row."""

import logging

from soulbox.mirror.fence import Fence
from soulbox.model.errors import StoreConflict, StoreRefused, StoreUnavailable
from soulbox.store.call_sums import CallSums
from soulbox.store.pool import Store
from soulbox.store.rollups import Rebuild, fold_usage, look_at_rollups

_log = logging.getLogger(__name__)

# Another process that is rebuilding but has shown no progress for this long is gone: one of its
# steps takes seconds at most.
_FORSAKEN_SECONDS = 60.0


class RollupKeeper:
    """Folds, and rebuilds when that is needed. Keeps its own timetable on the monotonic clock."""

    def __init__(self, store: Store, fence: Fence, period_seconds: float) -> None:
        self._store = store
        self._fence = fence
        self._period_seconds = period_seconds
        self._due_at = float("-inf")
        self._rebuild: Rebuild | CallSums | None = None
        self._whole_at: float | None = None

    @property
    def due_at(self) -> float:
        """When there is something to do next."""
        return self._due_at

    def lag_seconds(self, now: float) -> float | None:
        """How old the oldest row may be that the tables do not hold; None before the first
        look."""
        return None if self._whole_at is None else max(0.0, now - self._whole_at)

    async def run(self, now: float) -> None:
        """Do a step if one is due. If PostgreSQL fails, it is tried again a period later: nothing
        else depends on it, the views are exact without it, and the lag shows it.

        Raises:
            LeaderFenced: another operator writes now.
        """
        if now < self._due_at:
            return
        try:
            has_more = await self._step(now)
        except (StoreUnavailable, StoreRefused) as error:
            self._rebuild, has_more = None, False
            _log.warning(
                "the sums of use wait",
                extra={"action": "rollup-waiting", "error": str(error)[:256]},
            )
        self._due_at = now if has_more else now + self._period_seconds

    async def _step(self, now: float) -> bool:
        """Returns whether there is more to do at once."""
        await self._fence.acquire()
        if self._rebuild is not None:
            return await self._rebuild_on(self._rebuild)
        look = await look_at_rollups(self._store)
        if not look.is_built or look.is_foreign:
            idle = look.rebuild_idle_seconds
            if idle is not None and idle < _FORSAKEN_SECONDS:
                return False
            self._rebuild = Rebuild(self._store, self._fence.check)
            _log.info("the sums of use are made anew", extra={"action": "rollup-rebuild"})
            return True
        self._whole_at = now - (look.waiting_seconds or 0.0)
        has_more = look.waiting_seconds is not None and await fold_usage(
            self._store, self._fence.check
        )
        if has_more or look.are_calls_summed:
            return has_more
        self._rebuild = CallSums(self._store, self._fence.check)
        _log.info("the sums of calls are made anew", extra={"action": "call-sums-rebuild"})
        return True

    async def _rebuild_on(self, rebuild: Rebuild | CallSums) -> bool:
        self._rebuild = None  # also where the step fails: then from the start
        try:
            done = await rebuild.step()
        except StoreConflict:
            return False
        if done is not None:
            self._rebuild = rebuild
        else:
            _log.info("the sums hold", extra={"action": "rollup-rebuilt"})
        return True
