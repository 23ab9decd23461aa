"""Printing: output as it comes, progress on a terminal, objects as JSON or tables."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import orjson
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from soulbox.app.commands.live import Pump, Write, limit_words, lost_words, rest_of
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.outlet import Outlet, Stream
from soulbox.app.commands.person import Manifest, status_of
from soulbox.app.commands.terminal import clean, one_line, tell

# After a longer wait a person wonders; a pod with a cached image starts in two or three seconds.
_QUIET_SECONDS = 5.0


class Progress:
    """What is being waited for: a spinner on a terminal, a line after five seconds elsewhere.
    On stderr, and gone before the first output."""

    def __init__(self, name: str, kind: str = "Execution") -> None:
        self._name = f"{kind} {name}"
        self._console = Console(stderr=True)
        self._status = self._console.status(Text(f"{self._name}: created"))
        self._live = self._console.is_terminal
        self._timer: asyncio.TimerHandle | None = None
        self._words = "created"

    def __enter__(self) -> Self:
        if self._live:
            self._status.start()
        else:
            self._timer = asyncio.get_running_loop().call_later(_QUIET_SECONDS, self._say)
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def saw(self, manifest: Mapping[str, Any]) -> None:
        """A new version of the object."""
        status = status_of(manifest)
        self._words = one_line(f"{status.get('state', '')} {status.get('message', '')}")
        if self._live:
            self._status.update(Text(f"{self._name}: {self._words}"))
        if (
            status.get("state", "Queued") not in ("Queued", "Created", "Starting")
            and self._timer is not None
        ):
            self._timer.cancel()

    def hide(self) -> None:
        """Make room for output, for good."""
        self._live = False
        self._status.stop()
        if self._timer is not None:
            self._timer.cancel()

    def note(self, text: str) -> None:
        """A line for the person."""
        self.hide()
        tell(text)

    def _say(self) -> None:
        tell(f"{self._name}: {self._words}")


def write_through(progress: Progress, outlet: Outlet) -> Write:
    """To our own streams."""

    async def write(stream: Stream, content: bytes) -> None:
        progress.hide()
        await outlet.write(stream, content)

    return write


async def show_rest(
    pump: Pump, execution: Manifest, outlet: Outlet, note: Callable[[str], None]
) -> None:
    """After the end: what was not shown live and the status has, and a line about what it has
    not."""
    output = status_of(execution).get("output") or {}
    name = execution["metadata"]["name"]
    problems, notes = [], []
    for stream, shown in pump.shown.items():
        if shown.complete:
            notes.append(limit_words(output, stream, shown.offset))
            continue
        rest = rest_of(output, stream, shown.offset)
        await outlet.write(stream, rest.content)
        if rest.is_lost:
            notes.append(lost_words(stream, shown.offset))
        elif rest.missing_bytes:
            notes.append(f"not all of {stream} is shown; for all of it: soulbox logs {name}")
        if shown.problem and (rest.content or rest.missing_bytes):
            problems.append(shown.problem)
    await outlet.end()
    for words in filter(None, notes):
        note(words)
    if problems:
        note(f"output was shown at the end, not live: {problems[0]}")


def print_json(document: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """An object, or a list as kubectl prints one; without managedFields."""
    if isinstance(document, Mapping):
        shown: Mapping[str, Any] = _tidy(document)
    else:
        shown = {"apiVersion": "v1", "kind": "List", "items": [_tidy(one) for one in document]}
    print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())


def print_objects(objects: Sequence[Manifest], form: ObjectFormat) -> None:
    """Objects for programs: one as itself, several as a list."""
    match form:
        case ObjectFormat.YAML:
            documents = [_tidy(one) for one in objects]
            print(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True), end="")
        case ObjectFormat.NAME:
            for one in objects:
                print(f"{one['kind'].lower()}/{one['metadata']['name']}")
        case _:
            print_json(objects[0] if len(objects) == 1 else objects)


class Report:
    """What a command did to object after object: a line each for a person, at once; the objects
    for programs, at the end."""

    def __init__(self, form: ObjectFormat) -> None:
        self._form = form
        self._objects: list[Manifest] = []

    def add(self, manifest: Manifest, line: str) -> None:
        """It was done to this one."""
        self._objects.append(manifest)
        if self._form is ObjectFormat.TEXT:
            print(clean(line), flush=True)

    def end(self) -> None:
        """It was done to all."""
        if self._form is not ObjectFormat.TEXT:
            print_objects(self._objects, self._form)


def _tidy(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in manifest.get("metadata", {}).items() if k != "managedFields"}
    return {**manifest, "metadata": metadata}


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    wrapped: Sequence[str] = (),
) -> Table:
    """A table that needs no colours to be read.

    Args:
        wrapped: columns that may take several lines on a narrow terminal, and keep their own.
    """
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    made.show_header = any(columns)
    for column in columns:
        made.add_column(column, no_wrap=column not in wrapped, overflow="fold")
    for row in rows:
        # No markup: they are others' words.
        made.add_row(*(Text(clean(one) if wrapped else one_line(one)) for one in row))
    return made


def print_table(made: Table) -> None:
    """On stdout; for a program as wide as it takes, so that nothing is cut, and without blanks at
    the ends of lines."""
    screen = Console()
    if screen.is_terminal:
        screen.print(made)
        return
    screen = Console(width=100_000, color_system=None)
    with screen.capture() as captured:
        screen.print(made)
    for line in captured.get().splitlines():
        print(line.rstrip())


def age(seconds: float) -> str:
    """A duration as kubectl shows ages."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def mebibytes(size: int | None) -> str:
    """Bytes for people; "-" when not known."""
    return "-" if size is None else f"{size / 2**20:.1f} MiB"


def seconds(milliseconds: int | None) -> str:
    """A duration for people; "-" when not known."""
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"
