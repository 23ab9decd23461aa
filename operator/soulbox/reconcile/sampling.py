"""Asking every runner what its pod uses, in rounds.

A round asks all pods whose runner ever answered, a few at a time, and hands all samples to
the writer together. A runner that does not answer, or answers nonsense, costs two seconds
once and is then asked less often: it delays nobody, and its samples are missing, not zero.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from soulbox.box.transport import PodAddress
from soulbox.model.errors import SoulBoxError
from soulbox.model.marks import dispatch_mark
from soulbox.model.owners import pod_owner
from soulbox.model.rows import SampleRow
from soulbox.model.states import Kind
from soulbox.pure.actions import PostEvent
from soulbox.pure.fields import RowContext, RowError
from soulbox.pure.pods.samples import Reading, build_sample_row, is_pressed
from soulbox.reconcile.services import Services, address_of
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# A runner answers in a millisecond; a busy node in some tens.
_ASK_SECONDS: Final = 2.0
# Enough for 200 answers in a fraction of a second, few enough to leave the others' calls room.
_AT_ONCE: Final = 16
# A runner that fails is left out for 1, 2, 4, then 8 rounds.
_MOST_ROUNDS_LEFT_OUT: Final = 8
# An Event about memory, of each pod: a person reads it once, not every 15 s.
_EVENT_SECONDS: Final = 600.0
_LAST_FLUSH_SECONDS: Final = 1.0


class SampleSink(Protocol):
    """Where samples go."""

    def offer(self, rows: Sequence[SampleRow]) -> None:
        """Take them; never waits."""
        ...

    async def flush(self) -> None:
        """Write what waits."""
        ...


@dataclass(slots=True)
class _Failing:
    """A pod whose runner did not answer."""

    times: int
    asked_again_in: int  # rounds


class Sampler:
    """Rounds of samples, for one event loop.

    Args:
        interval_seconds: from the start of a round to that of the next.
        on_stranger: awaited with pod, uid and attempt of a run that was there twice, and whose
            Execution is not.
    """

    def __init__(
        self,
        services: Services,
        context: RowContext,
        sink: SampleSink,
        *,
        interval_seconds: float,
        on_stranger: Callable[[str, str, int], Awaitable[None]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._context = context
        self._sink = sink
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._before: dict[str, Reading] = {}
        self._failing: dict[str, _Failing] = {}
        self._event_at: dict[str, float] = {}
        # Runs of no Execution that is known, by pod, as of its last sample.
        self._strangers: dict[str, set[str]] = {}
        self._on_stranger = on_stranger

    async def run(self) -> None:
        """Until cancelled; what was heard then is still written, if that takes no second."""
        try:
            while True:
                started = self._monotonic()
                try:
                    await self.round()
                    await self._sink.flush()
                except SoulBoxError as error:
                    # They wait; the mirror's own health tells that PostgreSQL is away.
                    _log.debug("samples not written", action="sample", error=str(error)[:256])
                except Exception:
                    # A defect of ours: figures are missing, nothing else may depend on it.
                    _log.exception("sampling failed", action="sample")
                left = self._interval_seconds - (self._monotonic() - started)
                await asyncio.sleep(max(0.0, left))
        finally:
            with suppress(TimeoutError, SoulBoxError):
                async with asyncio.timeout(_LAST_FLUSH_SECONDS):
                    await self._sink.flush()

    async def round(self) -> None:
        """One sample of each pod, handed over together."""
        known = list(self._services.memory.runner_versions)
        self._forget_others(known)
        # A pod is taken out of the cache when its turn comes: a thousand as dicts, or as many
        # tasks, every 15 s would leave the interpreter's memory full of holes.
        waiting = iter(known)
        rows: list[SampleRow] = []

        async def ask() -> None:
            for uid in waiting:
                row = await self._sample(uid)
                if row is not None:
                    rows.append(row)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(known))):
                group.create_task(ask())
        self._sink.offer(rows)

    def _running(self, uid: str) -> Mapping[str, Any] | None:
        """The pod, None if it is gone or does not run."""
        pod = self._services.cache.get(Kind.POD, uid)
        if pod is None or (pod.get("status") or {}).get("phase") != "Running":
            return None
        return pod

    def _forget_others(self, uids: Collection[str]) -> None:
        for known in (self._before, self._failing, self._event_at, self._strangers):
            for uid in known.keys() - set(uids):
                del known[uid]

    def _is_due(self, uid: str) -> bool:
        failing = self._failing.get(uid)
        if failing is None or failing.asked_again_in <= 0:
            return True
        failing.asked_again_in -= 1
        return False

    async def _sample(self, uid: str) -> SampleRow | None:
        pod = self._running(uid)
        address = None if pod is None else address_of(pod)
        if pod is None or address is None or not self._is_due(uid):
            return None
        reading = await self._ask(uid, address)
        if reading is None:
            return None
        before = self._before.get(uid)
        self._before[uid] = reading
        await self._look_at_runs(uid, reading.stats.running_executions)
        if is_pressed(reading.stats):
            self._services.metrics.memory_pressed()
            self._tell_owner(pod, reading)
        try:
            return build_sample_row(pod, self._context, reading, before, self._is_run_of)
        except RowError as error:  # a pod that is none of ours after all
            _log.debug("no sample can be made", action="sample", error=str(error)[:256])
            return None

    async def _look_at_runs(self, pod_uid: str, runs: Iterable[str]) -> None:
        """A run whose Execution is gone is nobody's: it would go on at its Sandbox's expense. The
        watch may be late once, not for a whole round."""
        cache, memory = self._services.cache, self._services.memory
        strangers = {
            run
            for run in runs
            if (execution_uid := run.partition("/")[0]) not in memory.farewells
            and cache.get(Kind.EXECUTION, execution_uid) is None
        }
        known = self._strangers.pop(pod_uid, set())
        if strangers:
            self._strangers[pod_uid] = strangers
        for run in sorted(strangers & known):
            execution_uid, _, attempt = run.partition("/")
            if self._on_stranger is not None and attempt.isascii() and attempt.isdigit():
                await self._on_stranger(pod_uid, execution_uid, int(attempt))

    async def _ask(self, uid: str, address: PodAddress) -> Reading | None:
        """What its runner says, None when that cannot be had."""
        services = self._services
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                stats = await services.runner.stats(address)
        except (TimeoutError, SoulBoxError) as error:
            services.metrics.sampled("failed")
            services.metrics.runner_error(type(error).__name__)
            times = self._failing[uid].times + 1 if uid in self._failing else 1
            left_out = min(_MOST_ROUNDS_LEFT_OUT, 2 ** min(times - 1, 8))
            self._failing[uid] = _Failing(times=times, asked_again_in=left_out)
            return None
        services.metrics.sampled("ok")
        self._failing.pop(uid, None)
        return Reading(stats=stats, at=services.clock.now(), monotonic_seconds=self._monotonic())

    def _is_run_of(self, execution_uid: str, pod_uid: str) -> bool:
        execution = self._services.cache.get(Kind.EXECUTION, execution_uid)
        return execution is not None and dispatch_mark(execution["metadata"])[0] == pod_uid

    def _tell_owner(self, pod: Mapping[str, Any], reading: Reading) -> None:
        """An Event on the Sandbox, or the one-shot Execution, at most one in ten minutes."""
        uid, now = str(pod["metadata"]["uid"]), self._monotonic()
        if now - self._event_at.get(uid, float("-inf")) < _EVENT_SECONDS:
            return
        self._event_at[uid] = now
        stats = reading.stats
        used = stats.memory_unreclaimable_bytes or stats.memory_bytes or 0
        limit = stats.memory_limit_bytes or 0
        event = PostEvent(
            type="Warning",
            reason="MemoryPressure",
            message=(
                f"It uses {used / 2**20:.0f} of its {limit / 2**20:.0f} MiB of memory; at the "
                "limit its programs are killed (OOMKilled). Give it more, or use less."
            ),
            action="Sample",
        )
        named = pod_owner(pod)
        owner = None if named is None else self._services.cache.get(named.kind, named.uid)
        if named is not None and owner is not None:
            self._services.events.post(owner, named.kind, event)
