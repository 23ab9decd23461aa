"""Telling an object that its passes fail: else it is known in the operator's log only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from soulbox.decide.actions import Action, PostEvent, WriteStatus
from soulbox.decide.execution import give_up
from soulbox.decide.execution_seen import SeenExecution
from soulbox.decide.failing import (
    failing_execution,
    failing_message,
    failing_sandbox,
    given_up_message,
)
from soulbox.model.errors import KubeRefused, KubeUnavailable, SoulBoxError
from soulbox.model.states import Kind
from soulbox.reconcile.observe import ExecutionObserver
from soulbox.reconcile.services import Services
from soulbox.reconcile.writes import add_finalizer, write_status
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# Failures in a row after which it is no hiccup: with the queue's back-off some two seconds.
# Told again after as many more: a write wakes its object at once, so that words which differ each
# time (a port, an id) would take the queue's back-off away.
FAILURES: Final = 5


class FailureTeller:
    """Writes on objects what the work queue fails at."""

    def __init__(self, services: Services, observer: ExecutionObserver) -> None:
        self._services = services
        self._observer = observer
        # When the API server as a whole was last away: nobody is given up for that time.
        self._away_at: datetime | None = None

    async def tell(
        self, kind: Kind, uid: str, error: BaseException, failures: int, failing_seconds: float
    ) -> None:
        """Called after each failed pass. Never fails itself: the next failure tries again."""
        now = self._services.clock.now()
        if _is_everybody_s(error):
            self._away_at = now
            return
        manifest = self._services.cache.get(kind, uid)
        if failures < FAILURES or manifest is None:
            return
        if kind not in (Kind.SANDBOX, Kind.EXECUTION):  # a class has no Events and no run
            return
        words = _words(error)
        message = failing_message(words)
        if self._away_at is not None:
            failing_seconds = min(failing_seconds, (now - self._away_at).total_seconds())
        actions: tuple[Action, ...] = ()
        is_due = failures % FAILURES == 0
        try:
            if kind is Kind.SANDBOX:
                actions = failing_sandbox(manifest, message, now) if is_due else ()
            else:
                actions = failing_execution(manifest, message) if is_due else ()
                if failing_seconds >= self._services.sandbox_not_found_seconds:
                    seen = await self._seen(manifest)
                    last = given_up_message(words, failing_seconds)
                    actions = give_up(seen, last, now) or actions
            for action in actions:
                if isinstance(action, PostEvent):
                    self._services.events.post(manifest, kind, action)
                elif isinstance(action, WriteStatus):
                    manifest = await write_status(self._services, kind, manifest, action.status)
                else:
                    manifest = await add_finalizer(self._services, kind, manifest)
        except Exception as problem:  # it is what fails, perhaps; the log has the first error
            _log.debug("failure not told", kind=kind.value, uid=uid, error=str(problem)[:256])

    async def _seen(self, manifest: Mapping[str, Any]) -> SeenExecution:
        """As much as its end needs; to look at the rest may be what fails."""
        try:
            return await self._observer.observe(manifest)
        except Exception:  # whatever it is, it must not keep the Execution for ever
            return self._observer.glimpse(manifest)


def _is_everybody_s(error: BaseException) -> bool:
    """Whether the API server as a whole does not answer: nothing can be written then, and no
    object is to blame. With a status it spoke about this very request (a webhook, say)."""
    return isinstance(error, KubeUnavailable) and error.status in (None, 429, 503)


def _words(error: BaseException) -> str:
    """What went wrong, without what an unforeseen exception may carry."""
    if isinstance(error, KubeRefused):
        return f"the API server refuses it: {error.message[:512]}"
    if isinstance(error, SoulBoxError):
        return str(error)[:512]
    return f"an error that was not foreseen ({type(error).__name__}); the operator's log has more."
