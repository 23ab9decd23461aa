"""Asking a pod's runner until it answers for the first time.

The answer tells two things: the sandbox is ready, and which runs the runner still holds
(after a restart of the operator the first thing to know).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from soulbox.box.transport import PodAddress
from soulbox.model.backoff import Backoff
from soulbox.model.errors import HostileReply, RunnerRefused, RunnerUnavailable
from soulbox.model.states import Kind, PolicyFinding
from soulbox.reconcile.services import Services, address_of

_FIRST_RETRY_SECONDS = 0.02
_LAST_RETRY_SECONDS = 2.0
# While a network policy is not in force yet: a start waits for it.
_POLICY_RETRY_SECONDS = 0.5
# After a restart every pod is asked at once; each open connection costs some 15 KiB.
_AT_ONCE = 64


class RunnerProbe:
    """One task a pod that has not answered yet."""

    def __init__(
        self,
        services: Services,
        *,
        meet: Callable[[str, str, int], Awaitable[None]],
        on_answered: Mapping[Kind, Callable[[str], None]],
    ) -> None:
        """Args:
        meet: awaited with pod, uid and attempt of each run that a runner holds.
        on_answered: by kind of a pod's owner, who else goes on now; called with its uid.
        """
        self._services = services
        self._meet = meet
        self._on_answered = on_answered
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def probe(self, pod: Mapping[str, Any], owner: tuple[Kind, str]) -> None:
        """Start asking, unless that is under way."""
        uid: str = pod["metadata"]["uid"]
        task = self._tasks.get(uid)
        if task is None or task.done():
            services = self._services
            services.memory.asked_since[uid] = services.clock.now().timestamp()
            self._tasks[uid] = self._services.spawn(f"probe-{uid}", self._probe(uid, owner))

    async def _probe(self, pod_uid: str, owner: tuple[Kind, str]) -> None:
        services = self._services
        retry = Backoff(first_seconds=_FIRST_RETRY_SECONDS, most_seconds=_LAST_RETRY_SECONDS)
        try:
            while services.cache.get(Kind.POD, pod_uid) is not None:
                # The pod itself is not kept: a thousand wait here after a restart.
                address = self._address(pod_uid)
                if address is not None:
                    try:
                        async with self._slots:
                            listed = await services.runner.list(address)
                            may_start = not listed.policy_unseen or await self._sees_policy(
                                address, owner
                            )
                    except (RunnerUnavailable, RunnerRefused, HostileReply) as error:
                        services.metrics.runner_error(type(error).__name__)
                        may_start = False
                    if may_start:
                        services.health.answered(pod_uid)
                        services.memory.runner_versions[pod_uid] = listed.runner_version
                        services.memory.runner_features[pod_uid] = listed.features
                        for run in listed.executions:
                            await self._meet(pod_uid, run.uid, run.attempt)
                        self._wake(owner)
                        return
                delay_seconds = retry.next_seconds()
                if pod_uid in services.memory.unenforced:
                    delay_seconds = min(delay_seconds, _POLICY_RETRY_SECONDS)
                await asyncio.sleep(delay_seconds)
        finally:
            self._tasks.pop(pod_uid, None)
            services.memory.asked_since.pop(pod_uid, None)
            services.memory.unenforced.pop(pod_uid, None)

    async def _sees_policy(self, pod: PodAddress, owner: tuple[Kind, str]) -> bool:
        """Whether the runner has seen its pod's network policy in force, now that it looked."""
        services = self._services
        target = await services.target.towards(pod.ip)
        finding, words = await services.runner.look_at_policy(pod, target)
        if finding is PolicyFinding.BLOCKED:
            finding, words = await services.runner.look_at_policy(pod, target)
        if finding is PolicyFinding.SEEN:
            return True
        known = services.memory.unenforced.get(pod.uid)
        since = services.clock.now().timestamp() if known is None else known[2]
        services.memory.unenforced[pod.uid] = (finding, words, since)
        if known is None or known[0] is not finding:
            services.enqueue(*owner)
        return False

    def _address(self, pod_uid: str) -> PodAddress | None:
        pod = self._services.cache.get(Kind.POD, pod_uid)
        return None if pod is None else address_of(pod)

    def _wake(self, owner: tuple[Kind, str]) -> None:
        """The owner goes on, and so does whatever waits for its runner."""
        self._services.enqueue(*owner)
        kind, uid = owner
        if kind in self._on_answered:
            self._on_answered[kind](uid)
