"""One call of a Function from its creation to its result, as `soulbox call` follows it."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from soulbox.app.commands.live import Pump, key_hash, new_key, rest_of
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.outcome import CANCELLED, FAILED_AROUND, exit_code_of
from soulbox.app.commands.outlet import Outlet
from soulbox.app.commands.person import Manifest, Person
from soulbox.app.commands.running import (
    Wishes,
    cancel_on_signal,
    create_execution,
    delete_execution,
    until_over,
)
from soulbox.app.commands.show import Progress, print_objects, write_through
from soulbox.app.commands.terminal import clean, one_line, tell
from soulbox.model.keys import OUTPUT_KEYS_ANNOTATION
from soulbox.model.states import ExecutionState


async def call_function(person: Person, manifest: Manifest, wishes: Wishes, *, live: bool) -> int:
    """Create it, wait for it, print its result on stdout. The exit code.

    Args:
        live: what the program writes to stdout and stderr is shown on stderr meanwhile.
    """
    name, key = manifest["metadata"]["name"], new_key()
    if live:
        manifest["metadata"]["annotations"] = {OUTPUT_KEYS_ANNOTATION: key_hash(key)}
    created = await create_execution(person, manifest)
    outlet = Outlet(raw=wishes.raw, stdout_to="stderr")  # stdout is the result's
    with Progress(name) as progress:
        pump = Pump(person, name, key, write_through(progress, outlet)) if live else None
        async with cancel_on_signal(person, name, progress.note) as interrupted:
            execution = await until_over(person, created, pump, outlet, progress, interrupted)
    if execution is None:
        return CANCELLED
    status = execution["status"]
    if wishes.form is not ObjectFormat.TEXT:
        print_objects([execution], wishes.form)
    elif status.get("state") == ExecutionState.COMPLETED:
        print_result(status)
    elif not live:
        await _show_errors(status, outlet)
    if line := failure_of(name, status):
        tell(line)
    is_lost = "resultOmittedBytes" in status
    if is_lost and status.get("state") == ExecutionState.COMPLETED:
        tell(f"Execution {name}: {one_line(str(status.get('message', '')))}")
    if not wishes.keep:
        await delete_execution(person, created)
    return exit_code_of(status) or (FAILED_AROUND if is_lost else 0)


def print_result(status: Mapping[str, Any]) -> None:
    """The result: indented on a terminal, else in one line; nothing where there is none."""
    if "result" not in status:
        return
    is_terminal = sys.stdout.isatty()
    text = format_result(status["result"], for_terminal=is_terminal)
    sys.stdout.flush()
    # Not print(): JSON is UTF-8 whatever the locale says. Half of a surrogate pair stays the
    # escape that JSON has for it.
    sys.stdout.buffer.write(f"{text}\n".encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def format_result(result: object, *, for_terminal: bool) -> str:
    """Its JSON; for a terminal without what could take it over."""
    if for_terminal:
        return clean(json.dumps(result, ensure_ascii=False, indent=2))
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def failure_of(name: str, status: Mapping[str, Any]) -> str:
    """One line for an end that was not a good one, else ""."""
    state = status.get("state")
    if state == ExecutionState.COMPLETED:
        return ""
    return f"Execution {name}: {state}/{status.get('reason')}: " + one_line(
        str(status.get("message", ""))
    )


async def _show_errors(status: Mapping[str, Any], outlet: Outlet) -> None:
    """What the status has of stderr: of a handler that failed, the traceback."""
    content = rest_of(status.get("output") or {}, "stderr", 0).content
    if content:
        await outlet.write("stderr", content if content.endswith(b"\n") else content + b"\n")
        await outlet.end()
