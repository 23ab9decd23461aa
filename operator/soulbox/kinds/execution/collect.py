"""Collecting the whole output of ended runs from their runners into PostgreSQL.

Beside the reconcilers, and not in their workers: a runner that sends slowly, or a PostgreSQL
that is away, would take one worker for each run until none is left for anybody.
"""

import asyncio
from collections.abc import AsyncIterator

from soulbox.box.transport import PodAddress
from soulbox.kinds.execution.decide.actions import CollectOutput
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.memory import ExecutionMemory
from soulbox.model.errors import HostileReply, RunnerRefused, SoulBoxError
from soulbox.model.states import Kind
from soulbox.reconcile.services import Services, address_of, runner_error_code
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# After a failure that somebody else must mend: PostgreSQL or the runner is away.
_RETRY_SECONDS = 2.0
# What a runner may take, beside the time that its bytes do at the least speed: a guess above
# the longest of a busy node; it holds one of few places to save.
_PATIENCE_SECONDS = 60.0
_LEAST_BYTES_PER_SECOND = 2**20
# Of an Execution whose limit is not known: an earlier release dispatched it, and its class is gone.
_UNKNOWN_LIMIT_BYTES = 256 * 2**20


class OutputCollector:
    """At most one task for each Execution; for one event loop."""

    def __init__(self, services: Services, memory: ExecutionMemory) -> None:
        self._services = services
        self._memory = memory
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def collect(self, action: CollectOutput, seen: SeenExecution) -> None:
        """Begin, unless that is under way; the Execution's key is queued at the end."""
        task = self._tasks.get(seen.uid)
        if task is None or task.done():
            task = self._services.spawn(f"collect-{seen.uid}", self._collect(action, seen))
            self._tasks[seen.uid] = task

    def forget(self, uid: str) -> None:
        """Nothing is to be collected of it any more."""
        task = self._tasks.pop(uid, None)
        if task is not None:
            task.cancel()

    async def _collect(self, action: CollectOutput, seen: SeenExecution) -> None:
        services = self._services
        pod = services.cache.get(Kind.POD, action.pod_uid)
        address = None if pod is None else address_of(pod)
        if address is None:
            return  # it comes with news of its pod, which queues the key
        try:
            await self.save(address, action, seen)
            self._memory.saved_outputs.add(seen.uid)
        except SoulBoxError as error:
            _log.warning(
                "output is not saved yet",
                action="collect",
                kind=Kind.EXECUTION.value,
                uid=seen.uid,
                error=str(error)[:512],
            )
            await asyncio.sleep(_RETRY_SECONDS)
        self._tasks.pop(seen.uid, None)
        services.enqueue(Kind.EXECUTION, seen.uid)

    async def save(self, pod: PodAddress, action: CollectOutput, seen: SeenExecution) -> None:
        """Raises Retryable when PostgreSQL or the runner cannot answer now."""
        services, uid, created_at = self._services, seen.uid, seen.created_at
        patience = _Patience(_patience_seconds(seen))
        try:
            for stream in action.streams:
                chunks = services.runner.read_output(pod, uid, action.attempt, stream)
                is_log = action.keeps_log and stream == "stderr"
                await services.mirror.save_output(
                    uid, created_at, stream, patience.with_(chunks), is_log=is_log
                )
            for place, path in enumerate(action.files):
                chunks = services.runner.read_file(pod, uid, action.attempt, path)
                await services.mirror.save_output(
                    uid, created_at, f"file/{place}", patience.with_(chunks)
                )
        except (RunnerRefused, HostileReply) as error:
            # What is not given now never will be: the record stays marked incomplete.
            services.metrics.runner_error(runner_error_code(error))
        else:
            await services.mirror.mark_output_complete(uid, created_at)


class _Patience:
    """How long a runner may still take to send what it promised. PostgreSQL's time, and that
    of others who save, does not count."""

    def __init__(self, seconds: float) -> None:
        self._given = self._left = seconds

    async def with_(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same chunks.

        Raises:
            HostileReply: the time is over.
        """
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            try:
                async with asyncio.timeout(self._left):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise HostileReply(
                    f"runner's reply: its output did not come within {self._given:.0f} s"
                ) from None
            self._left -= loop.time() - asked_at
            if chunk is None:
                return
            yield chunk


def _patience_seconds(seen: SeenExecution) -> float:
    limit_bytes = _UNKNOWN_LIMIT_BYTES if seen.kept_bytes is None else seen.kept_bytes
    # Of each of two streams, and of all captured files.
    return _PATIENCE_SECONDS + 3 * limit_bytes / _LEAST_BYTES_PER_SECOND
