"""Telling an object that its passes fail: else it is known in the operator's log only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from soulbox.model.errors import KubeRefused, KubeUnavailable, SoulBoxError
from soulbox.model.states import Kind
from soulbox.pure.actions import AddFinalizer, PostEvent, WriteStatus
from soulbox.pure.failing import failing_message
from soulbox.reconcile.services import Services
from soulbox.reconcile.writes import add_finalizer, write_status
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# Failures in a row after which it is no hiccup: with the queue's back-off some two seconds.
# Told again after as many more: a write wakes its object at once, so that words which differ each
# time (a port, an id) would take the queue's back-off away.
FAILURES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Passes over one object that failed, one after the other."""

    words: str  # what went wrong, for people
    seconds: float  # since the first of them, as far as the API server answered
    is_due: bool  # whether the object is to say it now

    @property
    def message(self) -> str:
        """For the status, while the operator keeps trying."""
        return failing_message(self.words)


class Failing(Protocol):
    """A kind whose objects say that their passes fail."""

    async def actions_of_failing(
        self, manifest: Mapping[str, Any], failure: Failure
    ) -> Sequence[object]:
        """Words on the object, or its end: PostEvent, WriteStatus or AddFinalizer."""
        ...


class FailureTeller:
    """Writes on objects what the work queue fails at."""

    def __init__(self, services: Services, kinds: Mapping[Kind, Failing]) -> None:
        self._services = services
        self._kinds = kinds
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
        failing = self._kinds.get(kind)
        if failures < FAILURES or manifest is None or failing is None:
            return
        if self._away_at is not None:
            failing_seconds = min(failing_seconds, (now - self._away_at).total_seconds())
        failure = Failure(
            words=_words(error), seconds=failing_seconds, is_due=failures % FAILURES == 0
        )
        try:
            for action in await failing.actions_of_failing(manifest, failure):
                if isinstance(action, PostEvent):
                    self._services.events.post(manifest, kind, action)
                elif isinstance(action, WriteStatus):
                    manifest = await write_status(self._services, kind, manifest, action.status)
                elif isinstance(action, AddFinalizer):
                    manifest = await add_finalizer(self._services, kind, manifest)
        except Exception as problem:  # it is what fails, perhaps; the log has the first error
            _log.debug("failure not told", kind=kind.value, uid=uid, error=str(problem)[:256])


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
