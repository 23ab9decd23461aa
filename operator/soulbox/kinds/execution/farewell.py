"""Executions that went while their code may have run: somebody took their finalizer.

The code is ended all the same, and the record tells what is true of it, output and all, as far as
its runner still says so within some seconds.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from soulbox.box.transport import PodAddress
from soulbox.kinds.execution.collect import OutputCollector
from soulbox.kinds.execution.decide.actions import CollectOutput
from soulbox.kinds.execution.decide.outcome import ending_of_run
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.decide.status import (
    cancelled_by_deletion,
    files_to_save,
    final_status,
    streams_to_save,
)
from soulbox.kinds.execution.observe import ExecutionObserver
from soulbox.model.errors import RunnerRefused, RunnerUnavailable, SoulBoxError
from soulbox.model.manifests import sandbox_ref
from soulbox.model.marks import dispatch_mark
from soulbox.model.owners import pod_owner
from soulbox.model.runs import RunDocument
from soulbox.model.states import Kind, RunState
from soulbox.model.times import format_time
from soulbox.reconcile.services import Services, address_of
from soulbox.schema.results import with_result
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# SIGTERM, a second, SIGKILL; and a runner that is asked again once or twice.
_SECONDS: Final = 15.0
_WAIT_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A run that is over, and what its runner still holds of it."""

    told: Mapping[str, Any]  # the Execution's last version, with the status of its end
    seen: SeenExecution
    address: PodAddress
    collect: CollectOutput


class Farewell:
    """One task for each such Execution."""

    def __init__(
        self, services: Services, observer: ExecutionObserver, collector: OutputCollector
    ) -> None:
        self._services = services
        self._observer = observer
        self._collector = collector

    def take(self, manifest: Mapping[str, Any]) -> None:
        """`manifest` is the last version seen; the record hears of its end from here."""
        uid = manifest["metadata"]["uid"]
        self._services.memory.farewells.add(uid)
        self._services.spawn(f"farewell-{uid}", self._see_off(manifest))

    async def _see_off(self, manifest: Mapping[str, Any]) -> None:
        services, metadata = self._services, manifest["metadata"]
        uid = metadata["uid"]
        told = cancelled_by_deletion(manifest, services.clock.now())
        try:
            async with asyncio.timeout(_SECONDS):
                ended = await self._end(manifest)
                if ended is not None:
                    told = ended.told  # whatever becomes of its output
                    await self._hand_over(ended)
        except (TimeoutError, SoulBoxError) as error:
            _log.warning(
                "a deleted run was not seen off to its end",
                action="farewell",
                kind=Kind.EXECUTION.value,
                namespace=metadata["namespace"],
                name=metadata["name"],
                uid=uid,
                error=str(error)[:256],
            )
        finally:
            services.memory.farewells.discard(uid)
            services.mirror.offer(Kind.EXECUTION, told, deleted=True)
            services.enqueue(Kind.EXECUTION, uid)  # its pod of its own may go now

    async def _end(self, manifest: Mapping[str, Any]) -> _Ended | None:
        """End its code; None where no runner can tell of it any more."""
        services, metadata = self._services, manifest["metadata"]
        uid = metadata["uid"]
        pod_uid, attempt = dispatch_mark(metadata)
        pod = services.cache.get(Kind.POD, pod_uid)
        address = None if pod is None or not _is_its_own(pod, manifest) else address_of(pod)
        if address is None:
            return None
        run = await self._cancelled(address, uid, attempt)
        now = services.clock.now()
        going = {**manifest, "metadata": {**metadata, "deletionTimestamp": format_time(now)}}
        seen = await self._observer.observe(going)
        status = final_status(seen, ending_of_run(seen, run), now)
        collect = CollectOutput(
            pod_uid=pod_uid,
            attempt=attempt,
            streams=streams_to_save(status, run, keeps_log=seen.call is not None),
            keeps_log=seen.call is not None,
            files=files_to_save(status, run),
        )
        known = manifest.get("status") or {}
        merged = {key: value for key, value in {**known, **status}.items() if value is not None}
        told = {**going, "status": merged}
        return _Ended(told=told, seen=seen, address=address, collect=collect)

    async def _hand_over(self, ended: _Ended) -> None:
        """Save what is not inline, and let the runner forget the rest."""
        collect = ended.collect
        if collect.streams or collect.files:
            await self._collector.save(ended.address, collect, ended.seen)
        await self._services.runner.release(ended.address, ended.seen.uid, collect.attempt)

    async def _cancelled(self, address: PodAddress, uid: str, attempt: int) -> RunDocument:
        """The run's document once it is over.

        Raises:
            RunnerRefused: the runner does not know the run.
        """
        runner, asked = self._services.runner, False
        while True:
            try:
                if not asked:
                    await runner.cancel(address, uid, attempt)
                    asked = True
                run = await runner.get(address, uid, attempt, wait_seconds=_WAIT_SECONDS)
                if run.state is RunState.FINISHED:
                    return with_result(run)
            except RunnerRefused:
                raise
            except RunnerUnavailable:
                pass
            await asyncio.sleep(_RETRY_SECONDS)


def _is_its_own(pod: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether the pod is its own, or of the Sandbox that it names."""
    metadata, owner = manifest["metadata"], pod_owner(pod)
    if owner is None or pod["metadata"]["namespace"] != metadata["namespace"]:
        return False
    sandbox = sandbox_ref(manifest)
    if sandbox is not None:
        return (owner.kind, owner.name) == (Kind.SANDBOX, sandbox)
    return bool(owner.uid == metadata["uid"])
