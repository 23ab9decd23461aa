"""The API server's audit log: who wrote what, and when."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from tests.support.fix_kube import ROOT

OPERATOR = "system:serviceaccount:soulbox-system:soulbox-operator"
NODES = "system:node:"
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call that was answered.

    Attributes:
        what: "verb resource" or "verb resource/subresource".
        received: when the API server received it; `done` when it had answered.
    """

    user: str
    what: str
    namespace: str
    name: str
    code: int
    received: datetime
    done: datetime

    @property
    def is_write(self) -> bool:
        """Whether it may have changed something."""
        return self.what.partition(" ")[0] in _WRITES


class AuditLog:
    """The log from the moment this was made on; absent on clusters that are not ours."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path(os.environ.get("SOULBOX_AUDIT_LOG", ROOT / ".local/audit.log"))
        self._offset = self._path.stat().st_size if self.exists else 0

    @property
    def exists(self) -> bool:
        """Whether this cluster keeps one for us."""
        return self._path.exists()

    def entries(self) -> Iterator[Entry]:
        """Everything since this was made; may be asked again later for more."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # half written
                document = orjson.loads(line)
                if document["stage"] == "ResponseComplete":
                    yield _entry(document)

    def operator_writes(self, *names: str) -> Counter[str]:
        """The operator's writes to objects of these names (all when none is given)."""
        return Counter(
            entry.what
            for entry in self.entries()
            if entry.user == OPERATOR and entry.is_write and (not names or entry.name in names)
        )


def _entry(document: dict) -> Entry:  # type: ignore[type-arg]
    about = document.get("objectRef") or {}
    path = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
    return Entry(
        user=document["user"]["username"],
        what=f"{document['verb']} {path}",
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=(document.get("responseStatus") or {}).get("code", 0),
        received=datetime.fromisoformat(document["requestReceivedTimestamp"]),
        done=datetime.fromisoformat(document["stageTimestamp"]),
    )
