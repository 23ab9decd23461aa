"""Final objects on a volume, for when PostgreSQL is away longer than their deletion may wait.

    <cluster>.<nanoseconds>.<random>.jsonl    an object a line, JSON in ASCII, appended to only

A process appends only to a file of its own making, so any number of them may share the
volume; what is read is every file of the cluster, in order of their names. A line counts once
it is on the disk: what was being written when the machine stopped has no line end, and its
object still has its finalizer.

Everything here blocks: call it in a thread.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from soulbox.mirror.items import to_json
from soulbox.model.errors import ConfigError, SpoolUnavailable
from soulbox.model.states import Kind
from soulbox.model.times import format_time, parse_time

# A full file is not appended to any more: read files are removed whole.
_MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_SUFFIX: Final = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledObject:
    """An object in its last version, with what a row needs that may be gone when it is made.

    Attributes:
        version: resourceVersion as a number; -1 when it is none.
        tenant: of its namespace, as it was then.
        started_at: of a pod, when its container started; None when nobody ever said.
        spooled_at: when it was written here.
    """

    kind: Kind
    uid: str
    manifest: Mapping[str, Any]
    version: int
    tenant: str
    started_at: datetime | None
    spooled_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenLine:
    """A line that is whole and no object: something else wrote there, or the disk lies."""

    file: str
    number: int
    text: str


@dataclass(slots=True)
class _Known:
    """What is known about a file without reading it again; versions by uid."""

    size_bytes: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    oldest_at: datetime | None = None

    def add(self, entry: SpooledObject) -> None:
        self.versions[entry.uid] = max(entry.version, self.versions.get(entry.uid, -1))
        if self.oldest_at is None or entry.spooled_at < self.oldest_at:
            self.oldest_at = entry.spooled_at


class Spool:
    """The files of one cluster in a directory. One caller at a time, except for `read`."""

    def __init__(self, directory: Path, cluster_uid: str) -> None:
        self._directory = directory
        self._cluster = cluster_uid
        self._files: dict[Path, _Known] = {}
        self._path: Path | None = None
        self._descriptor: int | None = None

    def open(self) -> None:
        """Learn what earlier processes left.

        Raises:
            ConfigError: there is no such directory.
            SpoolUnavailable: it cannot be read.
        """
        check_directory(self._directory)
        with _translated(self._directory):
            for path in sorted(self._directory.glob(f"{self._cluster}.*{_SUFFIX}")):
                known = self._files[path] = _Known(size_bytes=path.stat().st_size)
                for portion in self.read(path):
                    for entry in portion:
                        if isinstance(entry, SpooledObject):
                            known.add(entry)

    def probe(self) -> None:
        """Write and remove a small file.

        Raises:
            SpoolUnavailable: the volume is full, read-only or gone.
        """
        path = self._directory / f"{self._cluster}.{secrets.token_hex(4)}.probe"
        with _translated(self._directory):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write(descriptor, b"{}\n")
            finally:
                os.close(descriptor)
                path.unlink()

    def append(self, entries: Sequence[SpooledObject]) -> None:
        """Put these on the disk; once this returns they are there.

        Raises:
            SpoolUnavailable: nothing of them counts.
        """
        data = b"".join(_line(entry) for entry in entries)
        with _translated(self._directory):
            if self._path is None or self._files[self._path].size_bytes >= _MAX_FILE_BYTES:
                self._begin_file()
            assert self._path is not None
            assert self._descriptor is not None
            known = self._files[self._path]
            try:
                _write(self._descriptor, data)
            except OSError:
                # Half a line may be there: nothing may come after it.
                with suppress(OSError):
                    os.ftruncate(self._descriptor, known.size_bytes)
                self.seal()
                raise
        known.size_bytes += len(data)
        for entry in entries:
            known.add(entry)

    def seal(self) -> list[Path]:
        """Append to none of the present files any more; returns them, the oldest first."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._path = self._descriptor = None
        return sorted(self._files)

    def read(self, path: Path, portion: int = 500) -> Iterator[list[SpooledObject | BrokenLine]]:
        """What a file holds, so many lines at a time; a torn last line is left out.

        Raises:
            OSError: it cannot be read.
        """
        number = 0
        with path.open("rb") as file:
            while lines := list(islice(file, portion)):
                found: list[SpooledObject | BrokenLine] = []
                for line in lines:
                    number += 1
                    if line.endswith(b"\n"):
                        found.append(_parse(line, path.name, number))
                yield found

    def remove(self, path: Path) -> None:
        """All of a file is in PostgreSQL.

        Raises:
            SpoolUnavailable: it cannot be removed.
        """
        self.forget(path)
        with _translated(self._directory):
            path.unlink(missing_ok=True)
            _sync_directory(self._directory)

    def forget(self, path: Path) -> None:
        """Leave a file alone from now on; the next process finds it again."""
        self._files.pop(path, None)

    def version(self, uid: str) -> int | None:
        """The newest version here of an object; None when there is none."""
        found = [known.versions[uid] for known in self._files.values() if uid in known.versions]
        return max(found, default=None)

    @property
    def objects(self) -> int:
        """Objects that wait here."""
        return len({uid for known in self._files.values() for uid in known.versions})

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(known.size_bytes for known in self._files.values())

    @property
    def oldest_at(self) -> datetime | None:
        """When the object that waits longest was written here; None when none waits."""
        times = (known.oldest_at for known in self._files.values())
        return min((time for time in times if time is not None), default=None)

    @property
    def has_files(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._files)

    def _begin_file(self) -> None:
        self.seal()
        name = f"{self._cluster}.{time.time_ns():020d}.{secrets.token_hex(4)}{_SUFFIX}"
        path = self._directory / name
        # Readable by its owner alone: it holds code and output.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o600)
        self._path = path
        self._files[path] = _Known()
        _sync_directory(self._directory)


def check_directory(directory: Path) -> None:
    """The setting names a directory.

    Raises:
        ConfigError: it does not.
    """
    if not directory.is_dir():
        raise ConfigError(
            f"spool_directory (SOULBOX_SPOOL_DIRECTORY): {directory} is not a directory; mount"
            " the volume there, or leave the setting out"
        )


@contextmanager
def _translated(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpoolUnavailable(
            f"the spool volume {directory} cannot be used: {error.strerror or error}"
        ) from error


def _write(descriptor: int, data: bytes) -> None:
    """All of it, on the disk."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    """New and removed names are on the disk too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(entry: SpooledObject) -> bytes:
    found = {
        "kind": entry.kind.value,
        "uid": entry.uid,
        "version": entry.version,
        "tenant": entry.tenant,
        "startedAt": None if entry.started_at is None else format_time(entry.started_at),
        "spooledAt": format_time(entry.spooled_at),
        "manifest": entry.manifest,
    }
    return to_json(found).encode("ascii") + b"\n"


def _parse(line: bytes, file: str, number: int) -> SpooledObject | BrokenLine:
    try:
        found: Any = json.loads(line)
        spooled_at = parse_time(found["spooledAt"])
        manifest, uid, tenant = found["manifest"], found["uid"], found["tenant"]
        if spooled_at is None or not isinstance(manifest, dict):
            raise ValueError("no time, or no object")
        return SpooledObject(
            kind=Kind(found["kind"]),
            uid=str(uid),
            manifest=manifest,
            version=int(found["version"]),
            tenant=str(tenant),
            started_at=parse_time(found["startedAt"]),
            spooled_at=spooled_at,
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return BrokenLine(file=file, number=number, text=line.decode("utf-8", "replace"))
