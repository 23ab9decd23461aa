"""One Execution from its creation to its end, as `soulbox run` follows it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soulbox.app.commands.captured import FileSource, captured_of, save_files, words_of_captured
from soulbox.app.commands.follow import follow_execution
from soulbox.app.commands.live import Pump, key_hash, new_key
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.outcome import CANCELLED, exit_code_of, explanation_of
from soulbox.app.commands.outlet import Outlet
from soulbox.app.commands.person import Manifest, Person
from soulbox.app.commands.show import (
    Progress,
    Report,
    print_objects,
    show_rest,
    write_through,
)
from soulbox.app.commands.terminal import tell
from soulbox.kube.resources import EXECUTIONS, FUNCTIONS, SANDBOX_CLASSES, SANDBOXES
from soulbox.model.errors import KubeRefused, SoulBoxError
from soulbox.model.keys import OUTPUT_KEYS_ANNOTATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a run is shown, and what is left of it."""

    keep: bool = True  # the Execution, when it is over
    form: ObjectFormat = ObjectFormat.TEXT
    raw: bool = False
    out: Path | None = None  # where captured files are written


async def start_program(person: Person, manifest: Manifest, form: ObjectFormat) -> None:
    """Create it, and tell its name."""
    created = await create_execution(person, manifest)
    report = Report(form)
    report.add(created, created["metadata"]["name"])
    report.end()


async def create_execution(person: Person, manifest: Manifest) -> Manifest:
    """Create it; before that, look whether what it names is there.

    Raises:
        CommandError: it is not; with near matches.
    """
    spec = manifest["spec"]
    if "functionRef" in spec:
        with suppress(KubeRefused):  # no right to read Functions, perhaps to call them
            await person.find(FUNCTIONS, spec["functionRef"]["name"])
    elif "sandboxRef" in spec:
        sandbox = await person.find(SANDBOXES, spec["sandboxRef"]["name"])
        # It runs only what is billed to the same user; admission decides whether we may name that
        # user.
        if billed_to := (sandbox.get("spec") or {}).get("user"):
            spec.setdefault("user", billed_to)
    else:
        with suppress(KubeRefused):  # no right to read classes, perhaps to use them
            await person.find(SANDBOX_CLASSES, spec["className"])
    return await person.kube.create(EXECUTIONS, manifest, person.namespace)


async def run_program(person: Person, manifest: Manifest, wishes: Wishes) -> int:
    """Create it, show it, wait for it. The exit code."""
    name, key = manifest["metadata"]["name"], new_key()
    manifest["metadata"]["annotations"] = {OUTPUT_KEYS_ANNOTATION: key_hash(key)}
    created = await create_execution(person, manifest)
    is_text = wishes.form is ObjectFormat.TEXT
    outlet = Outlet(raw=wishes.raw)
    with Progress(name) as progress:
        pump = Pump(person, name, key, write_through(progress, outlet)) if is_text else None
        async with cancel_on_signal(person, name, progress.note) as interrupted:
            try:
                execution = await until_over(person, created, pump, outlet, progress, interrupted)
            except BrokenPipeError:
                await _cancel(person, name)
                raise
    if execution is None:
        return CANCELLED
    status = execution["status"]
    if not is_text:
        print_objects([execution], wishes.form)
    if line := explanation_of(name, status):
        tell(line)
    await _take_files(person, execution, key, wishes.out)
    if not wishes.keep:
        await delete_execution(person, created)
    return exit_code_of(status)


async def delete_execution(person: Person, created: Manifest) -> None:
    """Delete this one, and none that took its name since."""
    metadata = created["metadata"]
    await person.kube.delete(EXECUTIONS, metadata["name"], person.namespace, uid=metadata["uid"])


async def _take_files(person: Person, execution: Manifest, key: str, out: Path | None) -> None:
    """Captured files: write them below `out`, or say how they are had."""
    if out is not None:
        # stdout is the program's, or the object's.
        await save_files(FileSource(person, execution, key=key), captured_of(execution), out, tell)
    elif words := words_of_captured(execution):
        tell(words)


async def until_over(
    person: Person,
    created: Manifest,
    pump: Pump | None,
    outlet: Outlet,
    progress: Progress,
    interrupted: asyncio.Event,
) -> Manifest | None:
    """The Execution at its end, with all output shown if there is a pump for it; None when the
    person would not wait.

    Raises:
        BrokenPipeError: nobody reads the output any more.
        CommandError: the Execution was deleted, or the API server is away.
    """
    pumping = asyncio.create_task(asyncio.sleep(0) if pump is None else pump.run(), name="pump")
    following = asyncio.create_task(
        follow_execution(person, created, progress.saw), name="follow-execution"
    )
    leaving = asyncio.create_task(interrupted.wait(), name="leave")
    tasks: list[asyncio.Task[Any]] = [pumping, following, leaving]
    try:
        waiting = set(tasks)
        while waiting and not (following.done() and pumping.done()):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if leaving in done:
                return None
            if pumping in done:
                pumping.result()  # raises what ended it, a closed pipe first of all
            if following in done:
                ended = following.result()
                if pump is not None:
                    pump.finish(ended)
        execution = following.result()
        if pump is not None:
            await show_rest(pump, execution, outlet, progress.note)
        return execution
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def cancel_on_signal(
    person: Person, name: str, note: Callable[[str], None]
) -> AsyncIterator[asyncio.Event]:
    """SIGINT and SIGTERM cancel the Execution; the second one sets the event: leave at once."""
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def cancel() -> None:
        try:
            await _cancel(person, name)
        except SoulBoxError as error:
            note(f"it could not be cancelled ({error}): kubectl delete execution {name}")
            interrupted.set()

    def asked() -> None:
        if tasks:
            interrupted.set()
            return
        note("cancelling; press Ctrl-C again to leave without waiting")
        tasks.append(asyncio.create_task(cancel(), name="cancel"))

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, asked)
    try:
        yield interrupted
        await asyncio.gather(*tasks)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _cancel(person: Person, name: str) -> None:
    await person.kube.patch(EXECUTIONS, name, {"spec": {"cancel": True}}, person.namespace)
