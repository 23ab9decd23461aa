"""What `soulbox files` does."""

from pathlib import Path

from soulbox.app.commands.captured import (
    CapturedFile,
    FileSource,
    captured_of,
    find_files,
    omitted_words,
    save_files,
)
from soulbox.app.commands.outlet import Outlet
from soulbox.app.commands.person import Manifest, Person, is_over, status_of
from soulbox.app.commands.show import print_json, print_table, table
from soulbox.app.commands.terminal import tell
from soulbox.kube.resources import EXECUTIONS
from soulbox.model.errors import CommandError


async def _find(person: Person, name: str) -> tuple[Manifest, list[CapturedFile]]:
    name = name.removeprefix("execution/")
    execution = await person.find(EXECUTIONS, name)
    if not is_over(execution):
        raise CommandError(f"Execution {name} has not ended yet: files are captured at its end")
    return execution, captured_of(execution)


async def list_files(person: Person, name: str, *, as_json: bool) -> None:
    """A row a file."""
    execution, files = await _find(person, name)
    output = status_of(execution).get("output") or {}
    if as_json:
        shown = {"files": output.get("files") or [], "filesOmitted": output.get("filesOmitted", 0)}
        if reason := output.get("filesOmittedReason"):
            shown["filesOmittedReason"] = reason
        print_json(shown)
        return
    if files:
        rows = [
            (one.path, str(one.size_bytes), "yes" if one.is_whole else "no", one.sha256)
            for one in files
        ]
        print_table(table("", ("PATH", "BYTES", "KEPT", "SHA256"), rows))
    else:
        print(
            "no files were captured"
            if execution["spec"].get("captureFiles")
            else "no files were asked for: soulbox run --capture 'GLOB', or spec.captureFiles"
        )
    if words := omitted_words(output):
        tell(words)


async def show_file(person: Person, name: str, path: str, dsn: str | None, *, raw: bool) -> None:
    """One file on stdout.

    Raises:
        CommandError: there is none of that path, or it cannot be had.
    """
    execution, files = await _find(person, name)
    found = [one for one in find_files(files, [path]) if one.path == path]
    if not found:
        raise CommandError(f"{path} is a folder: use --out DIR to write the files below it")
    source, outlet = FileSource(person, execution, dsn=dsn), Outlet(raw=raw)
    async for piece in source.read(found[0]):
        await outlet.write("stdout", piece)
    await outlet.end()
    if not found[0].is_whole:
        tell(f"{path} was not kept completely: it has {found[0].size_bytes} bytes")


async def write_files(
    person: Person, name: str, wanted: list[str], out: Path, dsn: str | None
) -> None:
    """Files below a folder. Raises as `save_files`."""
    execution, files = await _find(person, name)
    found = find_files(files, wanted)
    if not found:
        words = omitted_words(status_of(execution).get("output") or {})
        captured_none = f"Execution {execution['metadata']['name']} captured no files"
        raise CommandError(": ".join(filter(None, (captured_none, words))))
    await save_files(FileSource(person, execution, dsn=dsn), found, out, print)
