"""Leader election: stand by, lead, be silent when in doubt, hand over.

::

    standing by ──took the Lease──> leading ──no renewal in time──> silent
                                      │  ^──────still ours─────────── │
                                      │                               │
                         SIGTERM:  released             another has it: lost, the process ends

Only a leader starts the queue, the watches and the mirror. Whether it may act is asked at
every write (`Leadership.check`), by a clock that goes on while the process is stopped.
Decisions are in pure/election.py, the calls in kube/lease.py.
"""

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, assert_never

from soulbox.kube.lease import LeaseLock
from soulbox.model.errors import (
    ConfigError,
    KubeConflict,
    KubeExists,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    LeaderLost,
    NotLeader,
    SoulBoxError,
)
from soulbox.pure.election import (
    Create,
    LeaseRecord,
    LeaseSeen,
    Lost,
    Recreate,
    Renew,
    Take,
    Wait,
    decide_acquire,
    decide_keep,
    observe_lease,
)
from soulbox.schema.settings import Settings
from soulbox.telemetry.logs import get_logger
from soulbox.telemetry.metrics import Metrics

_log = get_logger(__name__)

# A standby looks this often, half of the interval at random: answered out of the API server's
# memory, a third of a millisecond of it (measured). It bounds the hand-over at SIGTERM.
_LOOK_SECONDS: Final = 0.5
# After a failed renewal, within the deadline: soon.
_AGAIN_SECONDS: Final = 0.5
_RELEASE_SECONDS: Final = 2.0
# A leader at its end gives the Lease up after so long even if PostgreSQL does not answer:
# nothing of ours acts on the cluster any more by then.
FLUSH_SECONDS: Final = 0.5


def elapsed_seconds() -> float:
    """Monotonic seconds that also pass while the machine sleeps, where the system tells
    (Linux): a leader on a laptop that was closed must know that it is late."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def make_identity(settings: Settings) -> str:
    """The one that is set, else one that no other process has."""
    if settings.lease_identity is not None:
        return settings.lease_identity
    host = "".join(c if c.isalnum() or c in ".-_" else "-" for c in socket.gethostname())
    return f"{host[:100] or 'host'}_{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds, as the settings of the same names."""

    duration_seconds: float
    renew_deadline_seconds: float
    renew_seconds: float


class Leadership:
    """Whether this process leads, and the two loops about it.

    Args:
        where: "namespace/name" of the Lease, for people.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        identity: str,
        where: str,
        timing: Timing,
        metrics: Metrics,
        clock: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self.identity = identity
        self._where = where
        self._timing = timing
        self._metrics = metrics
        self._clock = clock
        self._lock: LeaseLock | None = None
        self._mine: LeaseRecord | None = None
        # Until when we may act; None: for ever, there is no election.
        self._until: float | None = -1.0
        self._over = self._silent = self._tried = False
        self._waiting: Wait | None = None

    def use(self, lock: LeaseLock) -> None:
        """The Lease, whose guarded client asks this very object."""
        self._lock = lock

    @property
    def _lease(self) -> LeaseLock:
        assert self._lock is not None, "use() comes first"
        return self._lock

    # Asked before every action.

    def check(self) -> None:
        """Return if this process may act on the cluster at this moment.

        Raises:
            NotLeader: it may not.
        """
        if self._over:
            raise NotLeader("this operator no longer leads")
        if self._until is not None and self._clock() >= self._until:
            raise NotLeader(f"Lease {self._where} is not held, or was not renewed in time")

    def problem(self) -> str:
        """For /readyz, of the leader: what is wrong, "" for nothing."""
        try:
            self.check()
        except NotLeader as error:
            return str(error)
        return ""

    # Standing by.

    def lead_alone(self) -> None:
        """No election: this is the only operator."""
        self._until = None
        self._metrics.leading("leader")

    async def acquire(self) -> None:
        """Stand by until this process leads.

        Raises:
            ConfigError: the Lease cannot be read or made; nothing was started.
        """
        began = self._clock()
        seen: LeaseSeen | None = None
        outrun = False
        while True:
            try:
                record = await self._lease.read(exact=outrun)
                outrun = False
                seen = observe_lease(seen, record, self._clock())
                step = decide_acquire(
                    seen, self.identity, self._clock(), self._timing.duration_seconds
                )
                match step:
                    case Wait():
                        self._report_wait(step, seen)
                    case Create() | Take():
                        if await self._try(step):
                            break
                        outrun = True
                        continue  # find out who held it: the Lease may disappear
                    case _ as never:
                        assert_never(never)
            except KubeUnavailable as error:
                _log.warning("the Lease cannot be read", action="lease", error=str(error)[:256])
            except KubeNotFound as error:
                namespace = self._where.partition("/")[0]
                raise ConfigError(
                    f'namespace "{namespace}" does not exist; create it or set '
                    "SOULBOX_OPERATOR_NAMESPACE"
                ) from error
            except KubeRefused as error:
                raise ConfigError(
                    f"Lease {self._where} cannot be read or written: {error.message} "
                    "(apply the Role of install.yaml to that namespace)"
                ) from error
            await asyncio.sleep(_LOOK_SECONDS * random.uniform(0.5, 1.0))
        _log.info(
            "this operator leads",
            action="lead",
            lease=self._where,
            identity=self.identity,
            why="new" if isinstance(step, Create) else step.why,
            waited_seconds=round(self._clock() - began, 3),
        )

    async def _try(self, step: Create | Take) -> bool:
        """Write ourselves into the Lease; False when another was faster."""
        self._tried = True
        asked_at = self._clock()
        try:
            if isinstance(step, Create):
                mine = await self._lease.create()
            else:
                mine = await self._lease.take(step.record)
        except (KubeConflict, KubeExists):
            return False
        self._hold_on(mine, asked_at)
        self._metrics.leading("leader")
        return True

    def _report_wait(self, step: Wait, seen: LeaseSeen) -> None:
        """One log line when another process is seen to hold it, and another when that process stops
        renewing."""
        before, self._waiting = self._waiting, step
        if before is None or before.holder != step.holder:
            _log.info(
                "standing by: another operator holds the Lease",
                action="stand-by",
                lease=self._where,
                holder=step.holder,
                renewed_at="" if seen.record is None else seen.record.renew_time,
                takes_over_after_seconds=round(step.seconds, 1),
            )
            return
        late = self._timing.duration_seconds - self._timing.renew_deadline_seconds
        if step.seconds <= late < before.seconds:
            _log.warning(
                "the holder of the Lease does not renew it: it is probably dead",
                action="stand-by",
                lease=self._where,
                holder=step.holder,
                takes_over_after_seconds=round(step.seconds, 1),
            )

    # Leading.

    async def hold(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaderLost: another operator leads; this process must end.
        """
        failures = 0
        delay = self._timing.renew_seconds
        while True:
            await asyncio.sleep(delay)
            in_time = self._note_silence()
            try:
                await self._renew(in_time=in_time)
            except LeaderLost:
                self._over = True
                self._metrics.leading("lost")
                raise
            except SoulBoxError as error:
                failures += 1
                self._metrics.renewal_failed()
                if failures & (failures - 1) == 0:  # the 1st, 2nd, 4th, 8th, ...
                    _log.warning(
                        "the Lease was not renewed",
                        action="lease",
                        lease=self._where,
                        failures=failures,
                        error=str(error)[:256],
                    )
                delay = min(_AGAIN_SECONDS, self._timing.renew_seconds)
            else:
                failures = 0
                delay = self._timing.renew_seconds

    def _note_silence(self) -> bool:
        """Whether we may still act; says so once when not."""
        in_time = not self.problem()
        if not in_time and not self._silent:
            self._silent = True
            self._metrics.leading("silent")
            _log.error(
                "the Lease was not renewed in time: nothing is written to the cluster until it is"
                " certain that no other operator has taken over",
                action="lease-silent",
                lease=self._where,
            )
        return in_time

    async def _renew(self, *, in_time: bool) -> None:
        assert self._mine is not None
        asked_at = self._clock()
        if in_time:
            try:
                self._hold_on(await self._lease.renew(self._mine, guarded=True), asked_at)
            except (KubeConflict, KubeNotFound):
                pass  # changed by somebody, or by a try of ours whose answer got lost
            else:
                return
        # Read first: a process that was stopped for long must not even try to write.
        found = await self._lease.read(exact=True)
        asked_at = self._clock()
        match decide_keep(self._mine, found, in_time=not self.problem()):
            case Renew(record):
                self._hold_on(await self._lease.renew(record, guarded=False), asked_at)
            case Recreate():
                self._hold_on(await self._lease.create(), asked_at)
            case Lost(why):
                raise LeaderLost(f"Lease {self._where} is lost: {why}; this operator ends")
            case _ as never:
                assert_never(never)

    def _hold_on(self, mine: LeaseRecord, asked_at: float) -> None:
        """Renewed; counted from before it was asked for, when nobody can have seen it yet."""
        self._mine = mine
        self._until = asked_at + self._timing.renew_deadline_seconds
        if self._silent:
            self._silent = False
            self._metrics.leading("leader")
            _log.info("this operator continues to lead", action="lead", lease=self._where)

    # The end.

    async def release(self) -> None:
        """Give the Lease up, so that another takes over at once. `hold` must have ended, and
        all that acts on the cluster. Safe to repeat; what fails is logged."""
        if self._over or self._until is None or not self._tried:
            return
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                released = await self._give_up()
        except (SoulBoxError, TimeoutError) as error:
            _log.warning(
                "the Lease was not released: another operator has to wait until it expires",
                action="lease",
                lease=self._where,
                error=str(error)[:256] or type(error).__name__,
            )
        else:
            self._metrics.leading("released" if released else "lost")
            if released:
                _log.info("the Lease is released", action="release", lease=self._where)
        self._over = True

    async def _give_up(self) -> bool:
        """Whether there was something to give up."""
        mine = self._mine
        if mine is not None and not self.problem():
            with suppress(KubeConflict, KubeNotFound):
                await self._lease.release(mine, guarded=True)
                return True
        # Late, changed by somebody, or ended while the answer was on its way.
        found = await self._lease.read(exact=True)
        if found is None or found.holder != self.identity:
            return False
        if mine is not None and found.transitions != mine.transitions:
            return False
        await self._lease.release(found, guarded=False)
        return True
