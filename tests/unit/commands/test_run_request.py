"""From a command line to an Execution."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from soulbox.app.commands.run import (
    Request,
    build_manifest,
    language_of,
    make_name,
    read_code,
    read_stdin,
)

ENDINGS = {
    "a.py": ("python", "python"),
    "a.PY": ("python", "python"),
    "a.sh": ("bash", "bash"),
    "a.bash": ("bash", "bash"),
    "a.js": ("javascript", "node"),
    "a.mjs": ("javascript", "node"),
    "a.cjs": ("javascript", "node"),
    "-": (None, "python"),
}


@pytest.mark.parametrize("file", ENDINGS)
def test_ending_chooses_language_and_class(file: str) -> None:
    assert language_of(file, is_chosen=False) == ENDINGS[file]


@pytest.mark.parametrize("file", ["a.rb", "a.txt", "Makefile", ".py"])
def test_ending_that_is_not_known_is_refused_unless_a_language_is_chosen(file: str) -> None:
    with pytest.raises(typer.BadParameter, match="give --language with --class, or --sandbox"):
        language_of(file, is_chosen=False)
    assert language_of(file, is_chosen=True) == (None, "python")


LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("file", "want"),
    [
        ("-", "run"),
        ("/tmp/Job One.py", "job-one"),
        ("___.py", "run"),
        ("ünï.py", "n"),
        ("a" * 300 + ".py", "a" * 40),
        (".py", "py"),
    ],
)
def test_name_comes_from_the_file_and_is_legal_and_new(file: str, want: str) -> None:
    name = make_name(file)
    assert name.rpartition("-")[0] == want
    assert LABEL.fullmatch(name)
    assert len(name) <= 63
    assert make_name(file) != name


def test_only_what_is_asked_for_stands_in_the_spec() -> None:
    manifest = build_manifest(Request(code="x", name="n", class_name="python"))
    assert manifest["spec"] == {"code": "x", "className": "python"}
    assert manifest["metadata"] == {"name": "n"}


def test_everything_that_is_asked_for_stands_in_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a=b")
    request = Request(
        code="x",
        name="n",
        sandbox="box",
        language="python",
        args=("a", "--b"),
        env=("A=1", "B=", "TOKEN", "C=x=y"),
        stdin="",
        timeout_seconds=5,
        user="me",
    )
    assert build_manifest(request)["spec"] == {
        "code": "x",
        "sandboxRef": {"name": "box"},
        "language": "python",
        "args": ["a", "--b"],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": ""},
            {"name": "TOKEN", "value": "a=b"},
            {"name": "C", "value": "x=y"},
        ],
        "stdin": "",
        "timeoutSeconds": 5,
        "user": "me",
    }


def test_variable_that_is_not_set_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(typer.BadParameter, match="--env NOWHERE: not set here"):
        build_manifest(Request(code="x", name="n", class_name="python", env=("NOWHERE",)))


def test_code_of_the_largest_size_is_taken_and_a_byte_more_refused(tmp_path: Path) -> None:
    file = tmp_path / "job.py"
    file.write_bytes(b"#" * 262_144)
    assert len(read_code(str(file), send_stdin=False)) == 262_144
    file.write_bytes(b"#" * 262_145)
    with pytest.raises(typer.BadParameter, match="over 262144 bytes"):
        read_code(str(file), send_stdin=False)


def test_code_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="No such file"):
        read_code(str(tmp_path / "none.py"), send_stdin=False)
    file = tmp_path / "job.py"
    file.write_bytes(b"\xff")
    with pytest.raises(typer.BadParameter, match="not UTF-8"):
        read_code(str(file), send_stdin=False)
    with pytest.raises(typer.BadParameter, match="itself is read from standard input"):
        read_code("-", send_stdin=True)


def _stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> Any:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(raw)))


def test_standard_input_is_bounded_text(monkeypatch: pytest.MonkeyPatch) -> None:
    _stdin(monkeypatch, b"a" * 393_216)
    assert len(read_stdin()) == 393_216
    _stdin(monkeypatch, b"a" * 393_217)
    with pytest.raises(typer.BadParameter, match="over 393216 bytes"):
        read_stdin()
    _stdin(monkeypatch, b"\xff")
    with pytest.raises(typer.BadParameter, match="not UTF-8"):
        read_stdin()
    _stdin(monkeypatch, b"print(1)")
    assert read_code("-", send_stdin=False) == "print(1)"
