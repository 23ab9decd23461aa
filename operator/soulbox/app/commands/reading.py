"""What `soulbox logs` does: output from wherever it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from soulbox.app.commands.follow import follow_execution
from soulbox.app.commands.live import Pump, Stream, allow_reading, rest_of, write_out
from soulbox.app.commands.outcome import explanation_of
from soulbox.app.commands.person import Manifest, Person, is_over, status_of
from soulbox.app.commands.show import Progress, print_json
from soulbox.app.live_output import PIECE_BYTES, whole_inline
from soulbox.kube.resources import EXECUTIONS
from soulbox.model.errors import CommandError, KubeRefused, SoulBoxError
from soulbox.model.times import parse_time
from soulbox.store.outputs import OutputKey, OutputStore
from soulbox.store.pool import open_store

_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")


async def show_logs(
    person: Person, name: str, *, follow: bool, dsn: str | None, as_json: bool
) -> None:
    """Everything that can be had of an Execution's output; says what cannot."""
    execution = await person.find(EXECUTIONS, name)
    with Progress(name) as progress:
        if is_over(execution):
            await _show_saved(person, execution, dsn, progress, as_json=as_json)
        else:
            progress.hide()
            await _show_live(person, execution, progress, follow=follow, as_json=as_json)


async def _show_live(
    person: Person, execution: Manifest, progress: Progress, *, follow: bool, as_json: bool
) -> None:
    name = execution["metadata"]["name"]
    if as_json:
        raise CommandError(
            f"Execution {name} is not over: its output is not an object yet; leave out -o json"
        )
    try:
        key = await allow_reading(person, execution)
    except KubeRefused as error:
        if not follow or error.status != 403:
            raise
        progress.note("no right to write the Execution: its output is shown when it ends")
        ended = await follow_execution(person, execution, lambda _: None)
        await _show_inline(ended, progress)
        return
    pump = Pump(person, name, key, write_out)
    if not follow:
        await pump.run(wait=False)
        problems = [shown.problem for shown in pump.shown.values() if shown.problem]
        if problems:
            raise CommandError(f"the output cannot be read while the program runs: {problems[0]}")
        return
    async with asyncio.TaskGroup() as tasks:
        pumping = tasks.create_task(pump.run())
        ended = await follow_execution(person, execution, lambda _: None)
        pump.over.set()
        await pumping
    for stream, shown in pump.shown.items():
        if not shown.complete:
            content, missing = rest_of(status_of(ended).get("output") or {}, stream, shown.offset)
            await write_out(stream, content)
            if missing:
                progress.note(f"not all of {stream} is shown; for the whole: soulbox logs {name}")
    _explain(ended, progress)


async def _show_saved(
    person: Person, execution: Manifest, dsn: str | None, progress: Progress, *, as_json: bool
) -> None:
    output = status_of(execution).get("output") or {}
    if as_json:
        print_json(output)
        return
    if all(whole_inline(output, stream) is not None for stream in _STREAMS):
        await _show_inline(execution, progress)
        return
    progress.hide()
    if dsn is not None and await _show_from_database(execution, dsn, progress):
        _explain(execution, progress)
        return
    with suppress(KubeRefused):  # whoever may only look gets what the status has
        key = await allow_reading(person, execution)
        pump = Pump(person, execution["metadata"]["name"], key, write_out)
        pump.over.set()
        await pump.run()
        if all(shown.complete for shown in pump.shown.values()):
            _explain(execution, progress)
            return
        if any(shown.offset for shown in pump.shown.values()):
            raise CommandError("the output broke off: " + pump.shown["stdout"].problem)
    await _show_inline(execution, progress)


async def _show_from_database(execution: Manifest, dsn: str, progress: Progress) -> bool:
    """Whether both streams were shown from PostgreSQL, to the byte."""
    output = status_of(execution).get("output") or {}
    store = await open_store(dsn, max_size=1)
    try:
        for stream in _STREAMS:
            whole = whole_inline(output, stream)
            if whole is not None:
                await write_out(stream, whole)
                continue
            async for part in _saved(store, execution, stream):
                if part is None:
                    return False
                await write_out(stream, part)
    except SoulBoxError as error:
        progress.note(f"PostgreSQL cannot be read: {error}")
        return False
    finally:
        await store.close()
    return True


async def _saved(store: Any, execution: Manifest, stream: Stream) -> AsyncIterator[bytes | None]:
    """A stream's parts; None and no more when it is not saved."""
    metadata = execution["metadata"]
    created_at = parse_time(metadata["creationTimestamp"])
    assert created_at is not None, "the API server sets creationTimestamp"
    key = OutputKey(uid=UUID(metadata["uid"]), created_at=created_at, stream=stream)
    offset = 0
    while True:
        async with store.transaction() as tx:
            part = await OutputStore(tx).part(key, offset, PIECE_BYTES)
        if part is not None and not part:
            return
        yield part
        if part is None:
            return
        offset += len(part)


async def _show_inline(execution: Manifest, progress: Progress) -> None:
    output = status_of(execution).get("output") or {}
    progress.hide()
    for stream in _STREAMS:
        content, missing = rest_of(output, stream, 0)
        await write_out(stream, content)
        if missing:
            progress.note(
                f"of {stream} only beginning and end are in the status; all "
                f"{output.get(f'{stream}Bytes', '')} bytes are in PostgreSQL: set SOULBOX_DSN"
            )
    _explain(execution, progress)


def _explain(execution: Manifest, progress: Progress) -> None:
    line = explanation_of(execution["metadata"]["name"], status_of(execution))
    if line:
        progress.note(line)
