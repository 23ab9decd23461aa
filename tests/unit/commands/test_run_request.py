"""From a command line to an Execution."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from soulbox.app.commands.inputs import (
    language_of,
    make_name,
    read_code,
    read_files,
    read_stdin,
)
from soulbox.app.commands.options import labels_of, variables_of
from tests.support.builders import make_sandbox, make_sandbox_class
from tests.support.fake_api import Refusal
from tests.unit.commands.conftest import NAMESPACE, Shell

ENDINGS = {
    "a.py": ("python", "python"),
    "a.PY": ("python", "python"),
    "a.sh": ("bash", "bash"),
    "a.bash": ("bash", "bash"),
    "a.js": ("javascript", "node"),
    "a.mjs": ("module", "node"),
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


@pytest.fixture
def cluster(shell: Shell) -> Shell:
    """A cluster whose operator is away, with a Sandbox."""
    shell.api.add("sandboxclasses", make_sandbox_class("python"))
    shell.api.add("sandboxes", make_sandbox("box", NAMESPACE))
    return shell


def started(shell: Shell, *arguments: str) -> dict[str, Any]:
    """The Execution that `soulbox run --detach` makes."""
    code, out, err = shell.call("run", "-n", NAMESPACE, "--detach", *arguments)
    assert code == 0, err
    return shell.api.get("executions", NAMESPACE, out.strip())


def test_only_what_is_asked_for_stands_in_the_spec(cluster: Shell, tmp_path: Path) -> None:
    job = tmp_path / "job.py"
    job.write_text("x")
    found = started(cluster, str(job), "--name", "n")
    want = {"code": "x", "className": "python", "language": "python"}
    assert found["spec"] == want
    assert "labels" not in found["metadata"]


def test_everything_that_is_asked_for_stands_in_the_spec(cluster: Shell, tmp_path: Path) -> None:
    cluster.patch.setenv("TOKEN", "a=b")
    job, data = tmp_path / "job.txt", tmp_path / "in.bin"
    job.write_text("x")
    data.write_bytes(b"\0\xff")
    found = started(
        cluster, str(job), "--sandbox", "box", "--language", "python", "--arg", "a",
        "-e", "A=1", "-e", "B=", "-e", "TOKEN", "-e", "C=x=y", "--timeout", "5m",
        "--queue-timeout", "1h30m", "--priority", "-7", "--idempotent", "--ttl", "0",
        "--output-limit", "0", "--capture", "out/**", "--capture", "*.csv", "--user", "me",
        "-f", f"{data}:data/in.bin", "-l", "team=a", "-l", "empty=", "--", "--b",
    )  # fmt: skip
    assert found["metadata"]["labels"] == {"team": "a", "empty": ""}
    assert found["spec"] == {
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
        "files": [{"path": "data/in.bin", "content": "AP8=", "encoding": "base64"}],
        "captureFiles": ["out/**", "*.csv"],
        "timeoutSeconds": 300,
        "queueTimeoutSeconds": 5400,
        "priority": -7,
        "idempotent": True,
        "ttlSecondsAfterFinished": 0,
        "outputLimitBytes": 0,
        "user": "me",
    }


def test_pod_of_its_own_gets_the_limits_that_are_asked_for(cluster: Shell, tmp_path: Path) -> None:
    job = tmp_path / "job.py"
    job.write_text("x")
    found = started(
        cluster, str(job), "--cpu", "2", "--memory", "1Gi", "--disk", "4Gi",
        "--env-from-secret", "KEY=vault/token",
    )  # fmt: skip
    assert found["spec"]["resources"] == {"cpu": "2", "memory": "1Gi", "disk": "4Gi"}
    assert found["spec"]["env"] == [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "token"}}}
    ]


CONTRADICTIONS = {
    "limits of another's pod": (
        ["--sandbox", "box", "--cpu", "1"],
        "the Sandbox has its own limits",
    ),
    "two places": (["--sandbox", "box", "--class", "python"], "exclude each other"),
    "not waiting for the end it deletes": (["--detach", "--rm"], "use --ttl"),
    "not waiting for files it writes": (["--detach", "--out", "x"], "soulbox files"),
    "files that nobody captures": (["--out", "x"], "add --capture"),
    "no duration": (["--timeout", "soon"], "not a duration: write seconds, or 90s, 15m"),
    "no time at all": (["--timeout", "0"], "less than a second"),
    "a label without a value": (["-l", "x"], "write KEY=VALUE"),
    "a file that is not there": (["-f", "nowhere.csv"], "No such file"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradiction_ends_with_two_before_anything_is_made(
    cluster: Shell, tmp_path: Path, name: str
) -> None:
    arguments, want = CONTRADICTIONS[name]
    job = tmp_path / "job.py"
    job.write_text("x")
    cluster.patch.setenv("COLUMNS", "500")
    code, _, err = cluster.call("run", "-n", NAMESPACE, str(job), *arguments)
    assert code == 2
    assert want in err
    assert cluster.api.write_count == 0


def test_refusal_of_admission_is_told_in_its_own_words(cluster: Shell, tmp_path: Path) -> None:
    """It is no want of roles."""
    job = tmp_path / "job.py"
    job.write_text("x")
    words = "executions is forbidden: ask for the verb billto on executions"
    cluster.api.refuse("create", "executions", Refusal(403, "Forbidden", words))
    code, _, err = cluster.call("run", "-n", NAMESPACE, str(job))
    assert (code, err) == (125, f"soulbox: {words}\n")


def test_variable_that_is_not_set_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(typer.BadParameter, match="--env NOWHERE: not set in this"):
        variables_of(["NOWHERE"])
    assert variables_of(None) is None
    assert variables_of([], ["KEY=vault/token"]) == [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "token"}}}
    ]
    with pytest.raises(typer.BadParameter, match="NAME=SECRET/KEY"):
        variables_of([], ["KEY=vault"])
    with pytest.raises(typer.BadParameter, match="given twice"):
        labels_of(["a=b", "a=c"])


def test_files_and_folders_keep_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a.csv").write_text("1\n")
    (tmp_path / "data/deep/b.csv").write_text("grüße")
    paths = {
        "data/a.csv": ["data/a.csv"],
        "data": ["data/a.csv", "data/deep/b.csv"],
        "data:in": ["in/a.csv", "in/deep/b.csv"],
        str(tmp_path / "data/a.csv"): ["a.csv"],
        "../" + tmp_path.name + "/data/a.csv": ["a.csv"],
        "data/a.csv:x/y.csv": ["x/y.csv"],
    }
    for word, want in paths.items():
        assert [one["path"] for one in read_files([word])] == want
    assert read_files(["data/deep/b.csv"]) == [{"path": "data/deep/b.csv", "content": "grüße"}]
    (tmp_path / "tool").write_bytes(b"\x7fELF\0")
    (tmp_path / "tool").chmod(0o700)
    assert read_files(["tool"])[0]["mode"] == 0o755
    with pytest.raises(typer.BadParameter, match=r"another file is already written to data/a\.csv"):
        read_files(["data", "data/a.csv"])
    (tmp_path / "large").write_bytes(b"x" * 393_217)
    with pytest.raises(typer.BadParameter, match="more than 32 files or 393216 bytes"):
        read_files(["large"])


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
