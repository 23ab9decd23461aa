"""Every version of every object of a kind, watched by the test itself: what the API says, and
what the kubelet says of a pod's times, whatever became of the operator."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

from tests.support.fix_kube import Kubectl


@dataclass(frozen=True)
class Seen:
    """An object's last version; `gone` once it was deleted."""

    manifest: dict[str, Any]
    gone: bool

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def status(self) -> dict[str, Any]:
        return self.manifest.get("status") or {}


class ObjectWatch:
    """Notes the objects of a namespace while the block lasts."""

    def __init__(self, kubectl: Kubectl, kind: str, namespace: str) -> None:
        self._command = [
            kubectl.program, "--kubeconfig", kubectl.kubeconfig, "get", kind,
            "--namespace", namespace, "--watch", "--output-watch-events", "--output=json",
        ]  # fmt: skip
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}

    def __enter__(self) -> ObjectWatch:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        alive = self._process.poll() is None
        self._process.kill()
        self._process.wait()
        self._thread.join(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        assert alive or error is not None, "the watch broke: nothing was proved"

    def seen(self) -> dict[str, Seen]:
        """The last version of each object so far, by uid."""
        with self._lock:
            return dict(self._seen)

    def _read(self) -> None:
        assert self._process.stdout is not None
        decoder, buffer, rest = json.JSONDecoder(), "", b""
        while chunk := os.read(self._process.stdout.fileno(), 65_536):
            rest += chunk
            # Up to the last line end: a character of several bytes may be cut.
            whole, _, rest = rest.rpartition(b"\n")
            buffer = (buffer + whole.decode() + "\n").lstrip() if whole else buffer
            while buffer:
                try:
                    event, end = decoder.raw_decode(buffer)
                except json.JSONDecodeError:
                    break
                buffer = buffer[end:].lstrip()
                with self._lock:
                    self._note(event["object"], gone=event["type"] == "DELETED")

    def _note(self, manifest: dict[str, Any], *, gone: bool) -> None:
        self._seen[manifest["metadata"]["uid"]] = Seen(manifest, gone)


@dataclass
class Times:
    """Of one pod; None while nobody has said."""

    name: str
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def seconds(self) -> float:
        """Its running time; it must have ended if it began."""
        if self.started_at is None:
            return 0.0
        assert self.finished_at is not None, self
        return (self.finished_at - self.started_at).total_seconds()


class PodWatch(ObjectWatch):
    """Start and end of every pod, as the kubelet reports them."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        super().__init__(kubectl, "pods", namespace)
        self._times: dict[str, Times] = {}

    def __enter__(self) -> PodWatch:
        super().__enter__()
        return self

    def times(self) -> dict[str, Times]:
        """What was seen so far, by uid."""
        with self._lock:
            return {uid: Times(**vars(times)) for uid, times in self._times.items()}

    def _note(self, manifest: dict[str, Any], *, gone: bool) -> None:
        super()._note(manifest, gone=gone)
        metadata: Mapping[str, Any] = manifest["metadata"]
        times = self._times.setdefault(metadata["uid"], Times(metadata["name"]))
        for status in (manifest.get("status") or {}).get("containerStatuses") or ():
            state = status.get("state") or {}
            found = state.get("running") or state.get("terminated") or {}
            times.started_at = _time(found.get("startedAt")) or times.started_at
            times.finished_at = _time(found.get("finishedAt")) or times.finished_at


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
