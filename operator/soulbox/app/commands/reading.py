"""What `soulbox logs` does: output from wherever it is."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from soulbox.app.commands.captured import words_of_captured
from soulbox.app.commands.follow import follow_execution
from soulbox.app.commands.live import Pump, allow_reading, limit_words, lost_words, rest_of
from soulbox.app.commands.outcome import explanation_of
from soulbox.app.commands.outlet import STREAMS, Outlet, Stream
from soulbox.app.commands.person import Manifest, Person, is_over, status_of
from soulbox.app.commands.running import until_over
from soulbox.app.commands.show import Progress, print_json, show_rest
from soulbox.app.output_calls import is_lost, whole_inline
from soulbox.kube.resources import EXECUTIONS
from soulbox.model.errors import CommandError, KubeRefused, SoulBoxError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Logs:
    """One call of `soulbox logs`."""

    person: Person
    outlet: Outlet
    progress: Progress
    dsn: str | None
    as_json: bool
    shown: dict[Stream, int] = field(default_factory=dict)  # bytes, out of a source that broke off


async def show_logs(
    person: Person, name: str, *, follow: bool, dsn: str | None, as_json: bool, raw: bool
) -> None:
    """Everything that can be had of an Execution's output; says what cannot."""
    execution = await person.find(EXECUTIONS, name)
    with Progress(name) as progress:
        logs = _Logs(
            person=person, outlet=Outlet(raw=raw), progress=progress, dsn=dsn, as_json=as_json
        )
        if is_over(execution):
            await _show_saved(logs, execution)
        else:
            progress.hide()
            await _show_live(logs, execution, follow=follow)


async def _show_live(logs: _Logs, execution: Manifest, *, follow: bool) -> None:
    person, name = logs.person, execution["metadata"]["name"]
    if logs.as_json:
        raise CommandError(
            f"Execution {name} has not ended yet, so its output cannot be an object: leave out -o"
            " json"
        )
    try:
        key = await allow_reading(person, execution)
    except KubeRefused as error:
        if not follow or error.status != 403:
            raise
        logs.progress.note(
            "you have no right to change the Execution, so its output is shown when it ends"
        )
        ended = await follow_execution(person, execution, lambda _: None)
        await _show_inline(logs, ended)
        return
    pump = Pump(person, name, key, logs.outlet.write)
    if not follow:
        await pump.run(wait=False)
        await logs.outlet.end()
        problems = [shown.problem for shown in pump.shown.values() if shown.problem]
        if problems:
            raise CommandError(f"the output cannot be read while the program runs: {problems[0]}")
        return
    end = await until_over(person, execution, pump, logs.outlet, logs.progress, asyncio.Event())
    if end is not None:
        _explain(logs, end)


async def _show_saved(logs: _Logs, execution: Manifest) -> None:
    output = status_of(execution).get("output") or {}
    if logs.as_json:
        print_json(output)
        return
    if all(
        whole_inline(output, stream) is not None or is_lost(output, stream) for stream in STREAMS
    ):
        await _show_inline(logs, execution)
        return
    logs.progress.hide()
    if logs.dsn is not None and await _show_from_database(logs, execution, logs.dsn):
        _explain(logs, execution)
        return
    with suppress(KubeRefused):  # with read access alone, show what the status has
        key = await allow_reading(logs.person, execution)
        pump = Pump(logs.person, execution["metadata"]["name"], key, logs.outlet.write)
        for stream, offset in logs.shown.items():
            pump.shown[stream].offset = offset
        pump.finish(execution)
        await pump.run()
        if all(shown.complete for shown in pump.shown.values()):
            await show_rest(pump, execution, logs.outlet, logs.progress.note)
            _explain(logs, execution)
            return
        if any(shown.offset > logs.shown.get(one, 0) for one, shown in pump.shown.items()):
            problems = [shown.problem for shown in pump.shown.values() if shown.problem]
            raise CommandError(": ".join(["the output broke off", *problems[:1]]))
    await _show_inline(logs, execution)


async def _show_from_database(logs: _Logs, execution: Manifest, dsn: str) -> bool:
    """Whether both streams were shown from PostgreSQL, to the byte; how far they were where not
    is noted."""
    from soulbox.store.outputs import readable_output  # noqa: PLC0415 - psycopg: 0.2 s
    from soulbox.store.pool import open_store  # noqa: PLC0415

    output = status_of(execution).get("output") or {}
    store = await open_store(dsn, max_size=1)
    notes = []
    try:
        for stream in STREAMS:
            whole = whole_inline(output, stream)
            if whole is not None:
                await logs.outlet.write(stream, whole)
                logs.shown[stream] = len(whole)
                continue
            if is_lost(output, stream):
                notes.append(lost_words(stream, 0))
                continue
            shown_bytes = 0
            async with store.transaction() as tx:
                uid = UUID(execution["metadata"]["uid"])
                async for part in readable_output(tx, uid, stream):
                    await logs.outlet.write(stream, part)
                    shown_bytes += len(part)
                    logs.shown[stream] = shown_bytes
            notes.append(limit_words(output, stream, shown_bytes))
    except SoulBoxError as error:
        logs.progress.note(f"PostgreSQL cannot be read: {error}")
        return False
    finally:
        await store.close()
    await logs.outlet.end()
    for words in filter(None, notes):
        logs.progress.note(words)
    return True


async def _show_inline(logs: _Logs, execution: Manifest) -> None:
    output = status_of(execution).get("output") or {}
    logs.progress.hide()
    notes = []
    for stream in STREAMS:
        offset = logs.shown.get(stream, 0)
        rest = rest_of(output, stream, offset)
        await logs.outlet.write(stream, rest.content)
        if rest.is_lost:
            notes.append(lost_words(stream, offset))
        elif rest.missing_bytes and offset:
            total = output[f"{stream}Bytes"]
            notes.append(f"{stream} broke off after {offset} of {total} bytes: try again")
        elif rest.missing_bytes:
            remedy = "" if logs.dsn else ": set SOULBOX_DSN, or SOULBOX_OPERATOR_URL"
            notes.append(
                f"only the beginning and end of {stream} are shown, {len(rest.content)} of"
                f" {output[f'{stream}Bytes']} bytes; the rest is in PostgreSQL{remedy}"
            )
    await logs.outlet.end()
    for words in notes:
        logs.progress.note(words)
    _explain(logs, execution)


def _explain(logs: _Logs, execution: Manifest) -> None:
    end = explanation_of(execution["metadata"]["name"], status_of(execution))
    for line in filter(None, (end, words_of_captured(execution))):
        logs.progress.note(line)
