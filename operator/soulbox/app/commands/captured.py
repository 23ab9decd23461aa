"""Captured files: from the status, from PostgreSQL or through the operator, onto this machine.

Their names come from strangers: no file is written outside the named folder, and no name is printed
with control characters.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final
from uuid import UUID

from soulbox.app.commands.live import Answer, allow_reading, ask_operator
from soulbox.app.commands.person import Manifest, Person, status_of
from soulbox.app.commands.terminal import clean
from soulbox.model.errors import CommandError, KubeRefused, SoulBoxError

# What was captured is saved within seconds of the end; files of 10 MiB take longer.
_PATIENCE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedFile:
    """One file as the status lists it.

    Attributes:
        place: its number in the list, by which operator and database know it.
        content: the whole of it where the status holds that.
        is_whole: every byte was kept.
    """

    place: int
    path: str
    size_bytes: int
    sha256: str
    content: bytes | None
    is_whole: bool


def captured_of(execution: Manifest) -> list[CapturedFile]:
    """The captured files of an Execution that has ended."""
    listed = (status_of(execution).get("output") or {}).get("files") or ()
    return [_parse(place, entry) for place, entry in enumerate(listed)]


def words_of_captured(execution: Manifest) -> str:
    """How to get the captured files; "" if there are none."""
    count = len(captured_of(execution))
    if not count:
        return ""
    files = "1 file was" if count == 1 else f"{count} files were"
    return f"{files} captured: soulbox files {execution['metadata']['name']} --out DIR"


def omitted_words(output: Mapping[str, Any]) -> str:
    """What was not captured, and why; "" where nothing is missing."""
    count, reason = output.get("filesOmitted"), output.get("filesOmittedReason")
    if count:
        more = (
            "1 more file matched and was" if count == 1 else f"{count} more files matched and were"
        )
        return f"{more} not kept" + (f": {reason}" if reason else "")
    return str(reason or "")


def _parse(place: int, entry: dict[str, Any]) -> CapturedFile:
    content = entry.get("content")
    return CapturedFile(
        place=place,
        path=str(entry["path"]),
        size_bytes=int(entry["size"]),
        sha256=str(entry.get("sha256", "")),
        content=None if content is None else str(content).encode("utf-8", "surrogatepass"),
        is_whole=not entry.get("truncated"),
    )


class FileSource:
    """Where the bytes of one Execution's files come from."""

    def __init__(
        self, person: Person, execution: Manifest, *, key: str | None = None, dsn: str | None = None
    ) -> None:
        """Args:
        key: one that the Execution names already; None puts a new one on it when needed.
        dsn: PostgreSQL is asked instead of the operator.
        """
        self._person = person
        self._execution = execution
        self._key = key
        self._dsn = dsn

    async def read(self, file: CapturedFile) -> AsyncIterator[bytes]:
        """What was kept of a file, in pieces.

        Raises:
            CommandError: it cannot be had.
        """
        if file.content is not None:
            yield file.content
            return
        if self._dsn is not None:
            async for piece in self._from_database(self._dsn, file):
                yield piece
            return
        offset = 0
        while piece := await self._piece(file, offset):
            offset += len(piece)
            yield piece

    async def _piece(self, file: CapturedFile, offset: int) -> bytes:
        """The operator's answer, once it has one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_SECONDS
        while True:
            answer = await self._from_operator(file, offset)
            if answer.state in ("Running", "Finished"):
                return answer.content
            if answer.state in ("Refused", "Lost") or loop.time() > deadline:
                raise CommandError(
                    f"{file.path} cannot be read: {answer.problem or 'it is not saved'}"
                )
            await asyncio.sleep(_RETRY_SECONDS)

    async def _from_operator(self, file: CapturedFile, offset: int) -> Answer:
        name = self._execution["metadata"]["name"]
        if self._key is None:
            try:
                self._key = await allow_reading(self._person, self._execution)
            except KubeRefused as error:
                if error.status != 403:
                    raise
                raise CommandError(
                    f"{file.path} cannot be read: you may not write Execution {name}, and the"
                    " operator needs a key on it; set SOULBOX_DSN to read PostgreSQL instead"
                ) from error
        params = {"offset": str(offset)}
        return await ask_operator(self._person, name, self._key, f"files/{file.place}", params)

    async def _from_database(self, dsn: str, file: CapturedFile) -> AsyncIterator[bytes]:
        from soulbox.store.outputs import readable_output  # noqa: PLC0415 - psycopg: 0.2 s
        from soulbox.store.pool import open_store  # noqa: PLC0415

        uid = UUID(self._execution["metadata"]["uid"])
        store = await open_store(dsn, max_size=1)
        try:
            async with store.transaction() as tx:
                async for piece in readable_output(tx, uid, f"file/{file.place}"):
                    yield piece
        except SoulBoxError as error:
            raise CommandError(f"{file.path} cannot be read from PostgreSQL: {error}") from error
        finally:
            await store.close()


def find_files(files: Sequence[CapturedFile], wanted: Sequence[str]) -> list[CapturedFile]:
    """Those of these paths, or below these folders; all where none is named.

    Raises:
        CommandError: a path means none.
    """
    if not wanted:
        return list(files)
    found: dict[int, CapturedFile] = {}
    for path in wanted:
        folder = path.rstrip("/") + "/"
        fits = [one for one in files if one.path == path or one.path.startswith(folder)]
        if not fits:
            raise CommandError(f"no file {path} was captured; `soulbox files NAME` lists them")
        found |= {one.place: one for one in fits}
    return [found[place] for place in sorted(found)]


async def save_files(
    source: FileSource, files: Sequence[CapturedFile], out: Path, say: Callable[[str], None]
) -> None:
    """Write files below a folder, which is made; one that is there already is replaced.

    Args:
        say: called with a line about each file that was written.

    Raises:
        CommandError: one cannot be had or written, or its bytes are not those that the run left.
    """
    for file in files:
        if not file.is_whole:
            raise CommandError(
                f"{file.path} was not kept completely: its {file.size_bytes} bytes are beyond"
                " outputLimitBytes"
            )
        await _save(source, file, place_below(out, file.path))
        say(clean(f"{out / file.path}  {file.size_bytes} bytes"))


def place_below(out: Path, path: str) -> Path:
    """Where a captured file goes.

    Raises:
        CommandError: its path, or a link that lies there, leads out of the folder.
    """
    parts = PurePosixPath(path).parts
    target = out.joinpath(*parts)
    if (
        not parts
        or path.startswith("/")
        or any(part in ("..", ".") or "\0" in part for part in parts)
        or not target.resolve().is_relative_to(out.resolve())
    ):
        raise CommandError(f"{path} is not written: it would leave {out}")
    return target


async def _save(source: FileSource, file: CapturedFile, target: Path) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        with _replacing(target) as opened:
            async for piece in source.read(file):
                digest.update(piece)
                size += len(piece)
                opened.write(piece)
            if (size, digest.hexdigest()) != (file.size_bytes, file.sha256):
                raise CommandError(
                    f"{file.path} is not what the run left: {size} of {file.size_bytes} bytes, or "
                    "another SHA-256"
                )
    except OSError as error:
        raise CommandError(f"{target} cannot be written: {error.strerror}") from error


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the target's place when all of it is written; its folders are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".soulbox-")
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
        umask = os.umask(0)  # the only way to ask for it
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
