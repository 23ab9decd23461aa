"""The Sandboxes that the operator keeps for calls of Functions, by Function."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from soulbox.kinds.base import discard
from soulbox.kube.cache import Lookup
from soulbox.model.keys import FUNCTION_UID_LABEL, REVISION_ANNOTATION
from soulbox.model.manifests import Manifest, is_deleting
from soulbox.model.states import Kind, SandboxState
from soulbox.model.times import parse_time

# Beside its timeoutSeconds a call needs time to be handed over, and to be ended (a guess: the
# runner gives a program that is told to end 5 s).
_HAND_OVER: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a Function gets no Sandbox; `since_seconds` is Unix time."""

    is_quota: bool
    message: str
    since_seconds: float


def function_of(sandbox: Manifest) -> str | None:
    """UID of the Function whose Sandbox it is; None: it is nobody's but a person's. Our labels
    only the operator may write."""
    uid = (sandbox["metadata"].get("labels") or {}).get(FUNCTION_UID_LABEL)
    return None if uid is None else str(uid)


def revision_of(sandbox: Manifest) -> str:
    """The version whose calls run in it, by the name of its ControllerRevision."""
    annotations = sandbox["metadata"].get("annotations") or {}
    return str(annotations.get(REVISION_ANNOTATION, ""))


def is_over(sandbox: Manifest) -> bool:
    """Whether it has ended; it may still be there."""
    return bool((sandbox.get("status") or {}).get("state") == SandboxState.TERMINATED)


def last_call_time(sandbox: Manifest, timeout_seconds: int) -> datetime | None:
    """Until when it takes calls that may run so long: its lifetime ends them otherwise. None: it
    has not started.

    One that may live for less than two such calls takes them in the first half of its life:
    otherwise none would ever take them.
    """
    status = sandbox.get("status") or {}
    until, since = parse_time(status.get("expirationTime")), parse_time(status.get("startTime"))
    if until is None:
        return None
    needed = timedelta(seconds=timeout_seconds) + _HAND_OVER
    return until - (needed if since is None else min(needed, (until - since) / 2))


class FunctionSandboxes:
    """An index of the cache, and what the operator is about to do with what is in it."""

    def __init__(self, objects: Lookup) -> None:
        self._objects = objects
        self._by_function: defaultdict[str, set[str]] = defaultdict(set)
        # Sandboxes that are being deleted in this moment: the watch does not say so yet.
        self._going: set[str] = set()
        # Sandboxes, by Function, that go when what runs in them ends.
        self._draining: dict[str, frozenset[str]] = {}
        self._refused: dict[str, Refused] = {}

    def put(self, uid: str, manifest: Manifest, before: Manifest | None) -> None:
        """Its Function's it stays: the label is nobody's to take off."""
        del before
        function = function_of(manifest)
        if function is not None:
            self._by_function[function].add(uid)

    def remove(self, uid: str, manifest: Manifest) -> None:
        """Forget it."""
        self._going.discard(uid)
        function = function_of(manifest)
        if function is not None:
            discard(self._by_function, function, uid)

    def of(self, function_uid: str, namespace: str) -> list[Manifest]:
        """Sandboxes of that Function, of all its versions, by name. A label of another namespace
        is none of the operator's, and would reach into this one."""
        found = [
            sandbox
            for uid in self._by_function.get(function_uid, ())
            if (sandbox := self._objects.get(Kind.SANDBOX, uid)) is not None
            and sandbox["metadata"]["namespace"] == namespace
        ]
        return sorted(found, key=lambda sandbox: str(sandbox["metadata"]["name"]))

    def lives(self, sandbox: Manifest) -> bool:
        """Whether it has not ended and nobody ends it."""
        is_going = sandbox["metadata"]["uid"] in self._going
        return not (is_over(sandbox) or is_deleting(sandbox) or is_going)

    def runs(self, sandbox: Manifest) -> bool:
        """Whether its pod is ready, and nobody ends it."""
        state = (sandbox.get("status") or {}).get("state")
        return bool(state == SandboxState.RUNNING) and self.lives(sandbox)

    def takes_calls(self, sandbox: Manifest, timeout_seconds: int, now: datetime) -> bool:
        """Whether it takes calls that may run so long, now or once it is ready: it lives, nobody
        has suspended it, and its lifetime does not end before they do."""
        if not self.lives(sandbox) or (sandbox.get("spec") or {}).get("suspend"):
            return False
        last = last_call_time(sandbox, timeout_seconds)
        return last is None or now < last

    def going(self, uid: str) -> None:
        """That Sandbox is about to be deleted: from now on it takes no call."""
        self._going.add(uid)

    def drain(self, function_uid: str, uids: Iterable[str]) -> None:
        """These Sandboxes of that Function go when what runs in them ends, and no others."""
        draining = frozenset(uids)
        if draining:
            self._draining[function_uid] = draining
        else:
            self._draining.pop(function_uid, None)

    def drains(self, sandbox: Manifest) -> bool:
        """Whether its Function is to be looked at when something in it ends."""
        uids = self._draining.get(function_of(sandbox) or "", ())
        return sandbox["metadata"]["uid"] in uids

    def refuse(self, function_uid: str, refused: Refused | None) -> None:
        """Why that Function gets no Sandbox, None: it would. Refused since the first time."""
        before = self._refused.get(function_uid)
        if refused is None:
            self._refused.pop(function_uid, None)
        elif before is None or refused.since_seconds < before.since_seconds:
            self._refused[function_uid] = refused
        else:
            self._refused[function_uid] = Refused(
                is_quota=refused.is_quota,
                message=refused.message,
                since_seconds=before.since_seconds,
            )

    def refused(self, function_uid: str) -> Refused | None:
        """Why that Function gets no Sandbox; None: nothing is known that keeps it from one."""
        return self._refused.get(function_uid)

    def forget(self, function_uid: str) -> None:
        """The Function is gone."""
        self._draining.pop(function_uid, None)
        self._refused.pop(function_uid, None)
