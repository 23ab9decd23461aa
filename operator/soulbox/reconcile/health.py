"""Which runners are hurt: reached over the network, and of no use again and again.

User code may have found a way to cripple the runner of its pod. Without this the Sandbox would
say that it runs, and be billed, while each of its Executions waits out its time.

Only calls that got through to the pod count. A node or network that is away is Kubernetes' to
judge, and a pod that cannot be reached from here may be well. A refused connection can be the
network's too: some plugins (kube-router, k3s) refuse what a NetworkPolicy forbids, and may know a
new operator's address late. So a pod that never answered this process is given far longer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from soulbox.model.owners import Owner
from soulbox.model.states import Kind

# Three long calls that get no answer take half a minute; a node under load answers by then.
_FAILURES: Final = 3
_SECONDS: Final = 20.0
# A guess: network plugins have caught up by then.
_NEVER_ANSWERED_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Failing:
    since: float
    failures: int = 0


class RunnerHealth:
    """By pod uid; for one event loop."""

    def __init__(
        self,
        owner_of: Callable[[str], Owner | None],
        enqueue: Callable[[Kind, str], None],
        monotonic: Callable[[], float],
    ) -> None:
        """Args:
        owner_of: whose the pod of that uid is, None: nobody's that is known.
        """
        self._owner_of = owner_of
        self._enqueue = enqueue
        self._monotonic = monotonic
        self._failing: dict[str, _Failing] = {}
        self._has_answered: set[str] = set()

    def answered(self, pod_uid: str) -> None:
        """A call was served, or refused."""
        self._failing.pop(pod_uid, None)
        self._has_answered.add(pod_uid)

    def failed(self, pod_uid: str) -> None:
        """A call about a run got through to the pod, and nothing useful came back."""
        now = self._monotonic()
        failing = self._failing.setdefault(pod_uid, _Failing(since=now))
        failing.failures += 1
        if self.is_hurt(pod_uid):
            owner = self._owner_of(pod_uid)
            if owner is not None:
                self._enqueue(owner.kind, owner.uid)

    def is_hurt(self, pod_uid: str) -> bool:
        """Whether the pod is to be replaced for it."""
        failing = self._failing.get(pod_uid)
        if failing is None or failing.failures < _FAILURES:
            return False
        known = pod_uid in self._has_answered
        patience_seconds = _SECONDS if known else _NEVER_ANSWERED_SECONDS
        return self._monotonic() - failing.since >= patience_seconds

    def forget_others(self, pod_uids: set[str]) -> None:
        """Only these pods exist."""
        for uid in self._failing.keys() - pod_uids:
            del self._failing[uid]
        self._has_answered &= pod_uids
