"""The API server's audit log: who wrote what, whatever the operator says of itself."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.support.fix_kube import Kubectl
from tests.support.waiting import World

OPERATOR = "system:serviceaccount:soulbox-system:soulbox-operator"
WRITES = {"create", "update", "patch", "delete"}
QUIET_ROUNDS = 20


def audit_log(kubectl: Kubectl) -> Path:
    """Where `hack/up` keeps it: beside the kubeconfig. Other clusters keep none for us."""
    found = Path(kubectl.kubeconfig).parent / "audit.log"
    assert found.exists(), f"{found} is not there: these tests need the local cluster of hack/up"
    return found


class Meter:
    """The operator's writes in a namespace since this was made."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._log = audit_log(world.kubectl)
        self._offset = self._log.stat().st_size

    def settled(self) -> Counter[str]:
        """The writes once none has come for a while: "verb resource[/subresource]"."""
        known = self._count()
        rounds = 0
        while rounds < QUIET_ROUNDS:
            self._world.pause(0.1)
            now = self._count()
            rounds = rounds + 1 if now == known else 0
            known = now
        return known

    def by_object(self, resource: str) -> Counter[str]:
        """The writes so far to objects of a kind and their status, by the object's name."""
        entries = self._entries()
        return Counter(one["name"] for one in entries if one["resource"] == resource)

    def _count(self) -> Counter[str]:
        found = Counter[str]()
        for about in self._entries():
            path = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            found[f"{about['verb']} {path}"] += 1
        return found

    def _entries(self) -> list[dict[str, str]]:
        """The objectRef of each write, with its verb."""
        with self._log.open("rb") as log:
            log.seek(self._offset)
            lines = log.read().split(b"\n")[:-1]  # the last may be half written
        found = []
        for line in lines:
            entry = json.loads(line)
            about = entry.get("objectRef") or {}
            if (
                entry["user"]["username"] == OPERATOR
                and about.get("namespace") == self._world.namespace
                and entry["verb"] in WRITES
                and about["resource"] != "events"
                and entry["stage"] == "ResponseComplete"
                # What was refused because the kubelet had just written is asked for again.
                and entry["responseStatus"]["code"] != 409
            ):
                found.append({**about, "verb": entry["verb"]})
        return found
