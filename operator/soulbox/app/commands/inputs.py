"""What `soulbox run` reads on this machine: the program, files beside it, standard input."""

import base64
import json
import os
import re
import secrets
import sys
from pathlib import Path, PurePosixPath
from typing import Any, Final

import typer

from soulbox.model.runs import MAX_RUN_INPUT_BYTES

# What a file's ending says: (language, class that an installation brings for it).
LANGUAGES: dict[str, tuple[str, str]] = {
    ".py": ("python", "python"),
    ".sh": ("bash", "bash"),
    ".bash": ("bash", "bash"),
    ".js": ("javascript", "node"),
    ".mjs": ("module", "node"),
    ".cjs": ("javascript", "node"),
}
_MAX_CODE_BYTES: Final = 262_144
# Code, files, standard input and arguments together (kinds/execution/crd.py).
_MAX_INPUT_BYTES: Final = 393_216
_MAX_FILES: Final = 32


def language_of(file: str, *, is_chosen: bool) -> tuple[str | None, str]:
    """Language and class by a file's ending. Standard input is Python, the first language of
    the first class.

    Args:
        is_chosen: the command line names language, class or Sandbox: any ending will do.

    Raises:
        BadParameter: the ending says nothing, and nothing else does.
    """
    suffix = Path(file).suffix.lower()
    if suffix in LANGUAGES:
        return LANGUAGES[suffix]
    if file == "-" or is_chosen:
        return None, "python"
    told = f"its ending {suffix} is not known" if suffix else "it has no ending"
    raise typer.BadParameter(
        f"which language is {file}? {told} ({', '.join(LANGUAGES)} are): give --language with"
        " --class, or --sandbox"
    )


def read_code(file: str, *, send_stdin: bool) -> str:
    """The program's text.

    Raises:
        BadParameter: no such file, too long, not UTF-8, or two things want standard input.
    """
    if file == "-":
        if send_stdin:
            raise typer.BadParameter("with - the program itself is read from standard input")
        raw = sys.stdin.buffer.read(_MAX_CODE_BYTES + 1)
    else:
        try:
            with Path(file).open("rb") as source:
                raw = source.read(_MAX_CODE_BYTES + 1)
        except OSError as error:
            raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    if len(raw) > _MAX_CODE_BYTES:
        raise typer.BadParameter(
            f"{file} is over {_MAX_CODE_BYTES} bytes, the largest allowed code of an Execution"
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8 text") from error


def read_stdin() -> str:
    """All of our standard input.

    Raises:
        BadParameter: too long, or not UTF-8.
    """
    raw = sys.stdin.buffer.read(_MAX_INPUT_BYTES + 1)
    if len(raw) > _MAX_INPUT_BYTES:
        raise typer.BadParameter(
            f"standard input is over {_MAX_INPUT_BYTES} bytes, the most an Execution may carry"
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter("standard input is not UTF-8 text") from error


def read_json(option: str, text: str) -> Any:
    """JSON as it was given, or of the file after an @.

    Raises:
        BadParameter: the file cannot be read, or it is not JSON, or too long.
    """
    source = "it"
    if text.startswith("@"):
        source = text[1:]
        try:
            with Path(source).open() as opened:
                text = opened.read(MAX_RUN_INPUT_BYTES + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{option}: cannot read {source}: {error}") from error
    return parse_json(option, source, text)


def parse_json(option: str, source: str, text: str) -> Any:
    """JSON of a text; the source is named in what is wrong with it.

    Raises:
        BadParameter: it is not JSON, or too long.
    """
    if len(text.encode()) > MAX_RUN_INPUT_BYTES:
        raise typer.BadParameter(f"{option}: {source} is over {MAX_RUN_INPUT_BYTES} bytes")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{option}: {source} is not JSON: {error}") from error


def _refuse_constant(word: str) -> None:
    """Python takes these for numbers; sent on, they would become null."""
    raise ValueError(f"{word} is no number of JSON's")


def read_files(words: list[str] | None) -> list[dict[str, Any]]:
    """The field `files`, from LOCAL or LOCAL:PATH each; of a folder all files below it.

    Raises:
        BadParameter: one cannot be read, two go to one place, or they are too many or too large.
    """
    found: dict[str, dict[str, Any]] = {}
    size = 0
    for word in words or ():
        for source, path in _places(word):
            if path in found:
                raise typer.BadParameter(
                    f"--file {word}: another file is already written to {path}"
                )
            entry = _read_file(source, path)
            found[path] = entry
            size += len(entry["content"].encode())
            if len(found) > _MAX_FILES or size > _MAX_INPUT_BYTES:
                raise typer.BadParameter(
                    f"--file {word}: that is more than {_MAX_FILES} files or {_MAX_INPUT_BYTES} "
                    "bytes, the most an Execution may carry: let the program fetch them, or put "
                    "them into a class's image"
                )
    return list(found.values())


def _places(word: str) -> list[tuple[Path, str]]:
    """Files here, and their paths in the workspace."""
    local, _, wanted = word.partition(":")
    source = Path(local)
    if not wanted:
        is_below = not source.is_absolute() and ".." not in source.parts
        wanted = source.as_posix() if is_below else source.name
    if not source.is_dir():
        return [(source, PurePosixPath(wanted).as_posix())]
    return [
        (one, (PurePosixPath(wanted) / one.relative_to(source).as_posix()).as_posix())
        for one in sorted(source.rglob("*"))
        if one.is_file()
    ]


def _read_file(source: Path, path: str) -> dict[str, Any]:
    try:
        with source.open("rb") as opened:
            raw = opened.read(_MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"--file: cannot read {source}: {error.strerror}") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    found: dict[str, Any] = {"path": path, "content": text}
    if "\0" in text:
        found |= {"content": base64.b64encode(raw).decode(), "encoding": "base64"}
    if os.access(source, os.X_OK) and not raw.startswith(b"#!"):
        found["mode"] = 0o755  # scripts get it anyhow
    return found


def make_name(file: str) -> str:
    """A new name from a file's, as Kubernetes takes them."""
    return new_name("run" if file == "-" else Path(file).stem)


def new_name(stem: str) -> str:
    """A new name that begins with these words, as far as Kubernetes takes them."""
    slug = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40].strip("-") or "run"
    return f"{slug}-{secrets.token_hex(3)}"


def leave_quietly() -> None:
    """Nobody reads our output any more; Python must not complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
