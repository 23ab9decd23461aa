"""The keyed work queue: level-triggered, one worker a key at a time, newest state wins.

A key that is added while it is worked on is worked on once more afterwards; a key added
ten times is worked on once. Failures come back after a delay that doubles per key; a key
may also be asked for at a later time (a deadline, a TTL). The model is client-go's
workqueue (k8s.io/client-go/util/workqueue), reduced to what an event loop needs.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from soulbox.model.backoff import doubled_seconds
from soulbox.model.errors import (
    KubeConflict,
    KubeNotFound,
    KubeRefused,
    NotLeader,
    Retryable,
    Terminal,
)
from soulbox.model.states import Kind
from soulbox.telemetry.logs import get_logger
from soulbox.telemetry.metrics import Metrics

Key = tuple[Kind, str]
# Seconds after which to look again, None for not by the clock.
Reconcile = Callable[[str], Awaitable[float | None]]
# Told after each failed pass: kind, uid, error, failures in a row, seconds since the first.
Failing = Callable[[Kind, str, BaseException, int, float], Awaitable[None]]
# Facts that name an object in the log.
Names = Callable[[Kind, str], Mapping[str, str]]

_log = get_logger(__name__)

_FIRST_DELAY_SECONDS = 0.05
_LAST_DELAY_SECONDS = 60.0
# After a conflict the newer object is on its way; client-go's retry.OnConflict waits 10 ms.
_CONFLICT_DELAY_SECONDS = 0.02
# A silent leader leads on, or ends, within a renewal or two.
_NOT_LEADER_DELAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A snapshot."""

    ready: int
    active: int
    delayed: int
    failing: int


class WorkQueue:
    """Keys to reconcile and the workers that do it."""

    def __init__(
        self,
        reconcilers: Mapping[Kind, Reconcile],
        metrics: Metrics,
        *,
        workers: int,
        on_failing: Failing | None = None,
        names: Names = lambda _kind, _uid: {},
    ) -> None:
        self._reconcilers = reconcilers
        self._metrics = metrics
        self._workers = workers
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._queued: set[Key] = set()
        self._active: set[Key] = set()
        self._again: set[Key] = set()
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._failing_since: dict[Key, float] = {}
        self._on_failing = on_failing
        self._names = names

    def add(self, kind: Kind, uid: str) -> None:
        """Work on this key as soon as may be."""
        key = (kind, uid)
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def add_later(self, kind: Kind, uid: str, delay_seconds: float) -> None:
        """Work on this key after a delay, unless an earlier time is set already."""
        key = (kind, uid)
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, delay_seconds)
        known = self._later.get(key)
        if known is not None:
            if known.when() <= at:
                return
            known.cancel()
        self._later[key] = loop.call_at(at, self._due, key)

    def statistics(self) -> QueueStatistics:
        """How full it is."""
        return QueueStatistics(
            ready=len(self._queued),
            active=len(self._active),
            delayed=len(self._later),
            failing=len(self._failures),
        )

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"worker-{number}")

    def _due(self, key: Key) -> None:
        self._later.pop(key, None)
        self.add(*key)

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._queued.discard(key)
            self._active.add(key)
            try:
                await self._reconcile(key)
            finally:
                self._active.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(*key)

    async def _reconcile(self, key: Key) -> None:
        kind, uid = key
        started = time.monotonic()
        result = "ok"
        try:
            after = await self._reconcilers[kind](uid)
        except KubeConflict:
            result = "retry"
            self.add_later(kind, uid, _CONFLICT_DELAY_SECONDS)
        except NotLeader:
            # Said once, where the Lease is renewed; not a failure of this object.
            result = "retry"
            self.add_later(kind, uid, _NOT_LEADER_DELAY_SECONDS)
        except KubeNotFound:
            # The object went away meanwhile; its DELETED event brings the key back.
            result = "retry"
        except Retryable as error:
            result = "retry"
            await self._retry(key, error, error.delay_seconds)
        except Terminal as error:
            # Rights that are missing, or a namespace that is ending: no bug.
            is_forbidden = isinstance(error, KubeRefused) and error.status in (401, 403)
            result = "refused" if is_forbidden else "error"
            await self._retry(key, error, None)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not this worker was cancelled but something its pass waited for.
            result = "error"
            await self._retry(key, error, None)
        except Exception as error:
            result = "error"
            await self._retry(key, error, None)
        else:
            self._failures.pop(key, None)
            self._failing_since.pop(key, None)
            if after is not None:
                self.add_later(kind, uid, after)
        finally:
            self._metrics.reconciled(kind.value, result, time.monotonic() - started)

    async def _retry(self, key: Key, error: BaseException, at_least_seconds: float | None) -> None:
        count = self._failures.get(key, 0) + 1
        self._failures[key] = count
        delay = doubled_seconds(_FIRST_DELAY_SECONDS, _LAST_DELAY_SECONDS, count)
        # Jitter, so that a thousand keys that failed together do not come back together.
        delay = max(at_least_seconds or 0.0, delay * (0.5 + random.random()))
        kind, uid = key
        expected = isinstance(error, Retryable)
        report = _log.warning if expected else _log.error
        report(
            "reconcile failed",
            action="reconcile",
            kind=kind.value,
            uid=uid,
            **self._names(kind, uid),
            failures=count,
            retry_seconds=round(delay, 3),
            error=str(error)[:512],
            exc_info=None if isinstance(error, Retryable | Terminal) else error,
        )
        self.add_later(kind, uid, delay)
        since = self._failing_since.setdefault(key, time.monotonic())
        if self._on_failing is not None:
            await self._on_failing(kind, uid, error, count, time.monotonic() - since)
