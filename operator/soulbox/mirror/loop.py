"""The mirror's rounds: batches of what waits, what is spooled, upkeep; with back-off."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from soulbox.mirror.batches import Batches
from soulbox.mirror.fence import LeaderFenced
from soulbox.mirror.settings import MirrorSettings
from soulbox.mirror.spooler import Spooler
from soulbox.mirror.upkeep import Upkeep
from soulbox.model.errors import StoreUnavailable
from soulbox.store.pool import Store

_log = logging.getLogger(__name__)


class WriteLoop:
    """Writes what waits until it is told to end.

    Args:
        on_relist_needed: told once PostgreSQL is back after objects had to be dropped.

    Attributes:
        failures: tries that failed since the start of the process.
        failing_since: since when PostgreSQL has taken nothing, on the loop's clock; None while
            it does.
        relist_needed: objects were dropped, or a repair did not get to its end.
    """

    def __init__(
        self,
        store: Store,
        batches: Batches,
        spooler: Spooler,
        upkeep: Upkeep,
        settings: MirrorSettings,
        on_relist_needed: Callable[[], None] | None,
    ) -> None:
        self._store = store
        self._batches = batches
        self._spooler = spooler
        self._upkeep = upkeep
        self._settings = settings
        self._on_relist_needed = on_relist_needed
        self._full = asyncio.Event()
        self._ending = asyncio.Event()
        self.failures = 0
        self.failing_since: float | None = None
        self.relist_needed = self._relist_asked = False

    def offered(self) -> None:
        """Something new waits."""
        self._batches.work.set()
        if len(self._batches.pending) >= self._settings.batch_size:
            self._full.set()

    def overflowed(self) -> None:
        """Something was dropped because too much waits."""
        if not self.relist_needed:
            _log.warning(
                "too many objects wait for PostgreSQL; a relist will be needed",
                extra={"action": "mirror-overflow"},
            )
        self.relist_needed = True

    def relist_begins(self) -> None:
        """What was dropped before is in the lists of a repair."""
        self.relist_needed = self._relist_asked = False

    async def run(self) -> None:
        """Write what is offered until cancelled; then what still waits, for a bounded time.

        Raises:
            LeaderFenced: another operator writes now; this process must end.
        """
        # In a task of its own: a batch that is under way when this is cancelled can still finish.
        loop = asyncio.create_task(self._loop(), name="mirror-loop")
        try:
            await asyncio.shield(loop)
        except asyncio.CancelledError:
            self._ending.set()
            self._batches.work.set()
            self._full.set()
            await asyncio.wait({loop}, timeout=self._settings.exit_flush_seconds)
            if not loop.done():
                # A server that does not answer: what is left is read again from the API
                # server at the next start.
                self._store.cut()
                await asyncio.wait({loop}, timeout=self._settings.exit_flush_seconds)
                loop.cancel()
            elif not loop.cancelled() and (error := loop.exception()) is not None:
                _log.error("the mirror failed at the end", exc_info=error)
            if self._batches.pending:
                _log.warning(
                    "not all objects were written before the end",
                    extra={"action": "mirror-exit", "count": len(self._batches.pending)},
                )
            raise

    async def _loop(self) -> None:
        """Rounds until the end, when nothing waits any more or PostgreSQL does not answer."""
        tries = 0
        while not self._ending.is_set() or self._batches.pending:
            try:
                await self._round(wait=tries == 0)
            except LeaderFenced:
                raise
            except StoreUnavailable as error:
                self._note_failure(error, tries)
            except Exception:
                # A defect of ours must not end the mirror for all other objects, nor lose
                # any: they went back to the map.
                _log.exception("the mirror failed", extra={"action": "mirror-defect"})
                self.failures += 1
            else:
                if tries:
                    _log.info("PostgreSQL is back", extra={"action": "mirror-recovered"})
                tries = 0
                self.failing_since = None
                continue
            if tries == 0:
                self.failing_since = _monotonic()
            tries += 1
            if self._ending.is_set():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.backoff_seconds(tries)):
                    await self._ending.wait()

    async def _round(self, *, wait: bool) -> None:
        if wait:
            await self._wait_for_work()
        if not self._ending.is_set():
            await self._spooler.replay(self._batches.write_spooled, self._batches.bury)
        await self._flush()
        if self._ending.is_set():
            return
        if self.relist_needed and not self._relist_asked:
            self._relist_asked = True
            if self._on_relist_needed is not None:
                self._on_relist_needed()
        # After the objects: what fails here must not keep them waiting.
        prices = await self._upkeep.run(_monotonic())
        self._batches.prices = prices if prices is not None else self._batches.prices

    async def _wait_for_work(self) -> None:
        """Until a batch is due: something was offered and had company long enough, or
        nothing was for so long that a sign of life is due."""
        # Not wait_for: on Python 3.11 it makes a task of its own, which Kopf, at its end,
        # takes for one of a handler and waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._upkeep.next_seconds(_monotonic())):
                await self._batches.work.wait()
            async with asyncio.timeout(self._settings.linger_seconds):
                await self._full.wait()

    async def _flush(self) -> None:
        pending, size = self._batches.pending, self._settings.batch_size
        batch = pending.take(size)
        if not self._ending.is_set():
            if len(pending) < size:
                self._full.clear()
            if not pending:
                self._batches.work.clear()
        if batch:
            await self._batches.write(batch, upcoming=pending.peek(size))

    def _note_failure(self, error: StoreUnavailable, tries: int) -> None:
        self.failures += 1
        if tries == 0:
            _log.warning(
                "PostgreSQL cannot be used; objects wait",
                extra={"action": "mirror-waiting", "error": str(error)[:256]},
            )


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
