"""Why the API server refused the pods of owners, for the owners' next passes.

A refusal is written on the object, which wakes it at once, and its next pass is refused again.
Words that differ each time (an id, a port) would make passes follow one another without a pause:
other words for the same reason are taken in after a while only.
"""

from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

# Longer than refused pods wait for the next try; a guess at how stale a quota's figures may be.
_SAME_WORDS_SECONDS: Final = 30.0


class _Refusal(Protocol):
    @property
    def reason(self) -> Any: ...


_R = TypeVar("_R", bound=_Refusal)


@dataclass(slots=True)
class _Known(Generic[_R]):
    refusal: _R
    since_seconds: float
    told_seconds: float


class Refusals(Generic[_R]):
    """By uid of the owner; times are Unix seconds. For one event loop."""

    def __init__(self) -> None:
        self._known: dict[str, _Known[_R]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._known

    def get(self, uid: str) -> _R | None:
        """What its last tries were refused with, None: they were not."""
        known = self._known.get(uid)
        return None if known is None else known.refusal

    def since(self, uid: str) -> float | None:
        """Since when it is refused, whatever with; None: it is not."""
        known = self._known.get(uid)
        return None if known is None else known.since_seconds

    def note(self, uid: str, refusal: _R, now_seconds: float) -> bool:
        """Take a refusal in; whether it is news, to be written down at once."""
        known = self._known.get(uid)
        if known is None:
            self._known[uid] = _Known(refusal, now_seconds, now_seconds)
            return True
        is_other = known.refusal.reason != refusal.reason
        if is_other or now_seconds - known.told_seconds >= _SAME_WORDS_SECONDS:
            is_news = known.refusal != refusal
            known.refusal, known.told_seconds = refusal, now_seconds
            return is_news
        return False

    def drop(self, uid: str) -> None:
        """It is refused no longer, or is no more."""
        self._known.pop(uid, None)
