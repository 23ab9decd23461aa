"""`soulbox files` and `run --out`: which files are written, from where, and which never."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from soulbox.app.commands.captured import place_below
from soulbox.model.errors import CommandError
from tests.support.builders import make_execution
from tests.unit.commands.conftest import NAMESPACE, Shell

LARGE = bytes(range(256)) * 2_000


def entry(path: str, kept: bytes, **more: Any) -> dict[str, Any]:
    return {
        "path": path,
        "size": len(kept),
        "sha256": hashlib.sha256(kept).hexdigest(),
        **more,
    }


FILES = [
    entry("out/a.txt", "grüße\n".encode(), content="grüße\n"),
    entry("out/deep/large.bin", LARGE),
    entry("log\x1b[2J", b"x", content="x"),
]


def add(shell: Shell, files: list[dict[str, Any]], *, over: bool = True, **output: Any) -> None:
    shell.api.add("executions", make_execution("done", NAMESPACE, captureFiles=["**"]))
    status = {"state": "Completed", "reason": "Completed", "output": {"files": files, **output}}
    if over:
        status["completionTime"] = "2026-01-02T03:04:07Z"
    shell.api.edit("executions", NAMESPACE, "done", {"status": status})


@pytest.fixture
def operator(shell: Shell) -> Iterator[dict[int, bytes]]:
    """An operator that gives out what is put into its dictionary, 100,000 bytes at a time."""
    saved: dict[int, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        content = saved.get(int(request.match_info["place"]))
        if content is None:
            return web.Response(headers={"Soulbox-State": "Lost"})
        offset = int(request.query["offset"])
        part = content[offset : offset + 100_000]
        state = "Running" if part else "Finished"
        return web.Response(body=part, headers={"Soulbox-State": state})

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    application = web.Application()
    path = "/v1/namespaces/{namespace}/executions/{name}/files/{place}"
    application.router.add_get(path, answer)
    server = TestServer(application, host="127.0.0.1", loop=loop)
    asyncio.run_coroutine_threadsafe(server.start_server(), loop).result(10)
    shell.patch.setenv("SOULBOX_OPERATOR_URL", f"http://127.0.0.1:{server.port}")
    try:
        yield saved
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_files_are_listed_with_clean_names(shell: Shell) -> None:
    files = [*FILES, entry("huge", b"", size=9_999_999, truncated=True)]
    add(shell, files, filesOmitted=3, filesOmittedReason="67 files matched, 64 are kept")
    code, out, err = shell.call("files", "done", "-n", NAMESPACE)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["PATH", "BYTES", "KEPT", "SHA256"]
    assert rows[1][:3] == ["out/a.txt", "8", "yes"]
    assert rows[3][0] == "log\\x1b[2J"
    assert rows[4][:3] == ["huge", "9999999", "no"]
    words = "3 more files matched and were not kept: 67 files matched, 64 are kept"
    assert err == f"soulbox: {words}\n"
    assert words in shell.call("get", "execution/done", "-n", NAMESPACE)[1]
    document = shell.json("files", "done", "-n", NAMESPACE)
    assert document["filesOmitted"] == 3
    assert document["filesOmittedReason"] == "67 files matched, 64 are kept"


def test_a_file_that_was_not_there_is_told(shell: Shell, tmp_path: Path) -> None:
    reason = '"report.csv" is not there'
    add(shell, [], filesOmittedReason=reason)
    assert shell.call("files", "done", "-n", NAMESPACE)[2] == f"soulbox: {reason}\n"
    code, _, err = shell.call("files", "done", "--out", str(tmp_path / "o"), "-n", NAMESPACE)
    assert (code, err) == (1, f"soulbox: Execution done captured no files: {reason}\n")


def test_logs_say_how_files_are_had(shell: Shell) -> None:
    kept = {"stdout": "", "stdoutBytes": 0, "stderr": "", "stderrBytes": 0}
    add(shell, FILES, **kept)
    assert shell.call("logs", "done", "-n", NAMESPACE) == (
        0,
        "",
        "soulbox: 3 files were captured: soulbox files done --out DIR\n",
    )


def test_one_file_goes_to_stdout_to_the_byte(shell: Shell, operator: dict[int, bytes]) -> None:
    operator[1] = b"part of it\r\x00" * 20_000
    add(shell, FILES)
    code, out, _ = shell.call("files", "done", "out/deep/large.bin", "-n", NAMESPACE)
    assert (code, out.encode()) == (0, operator[1])
    keys = shell.api.get("executions", NAMESPACE, "done")["metadata"]["annotations"]
    assert len(keys["soulbox.dev/output-keys-sha256"]) == 64


def test_files_are_written_below_the_folder(
    shell: Shell, operator: dict[int, bytes], tmp_path: Path
) -> None:
    operator[1] = LARGE
    add(shell, FILES)
    out = tmp_path / "new"
    code, told, _ = shell.call("files", "done", "out", "--out", str(out), "-n", NAMESPACE)
    assert code == 0
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert written == {"out/a.txt", "out/deep/large.bin"}
    assert (out / "out/a.txt").read_text() == "grüße\n"
    assert (out / "out/deep/large.bin").read_bytes() == LARGE
    assert told.splitlines()[1] == f"{out}/out/deep/large.bin  {len(LARGE)} bytes"


def test_bytes_that_the_run_did_not_leave_are_not_kept(
    shell: Shell, operator: dict[int, bytes], tmp_path: Path
) -> None:
    operator[1] = LARGE[:-1] + b"x"
    add(shell, FILES)
    code, _, err = shell.call("files", "done", "--out", str(tmp_path / "o"), "-n", NAMESPACE)
    assert code == 1
    assert "out/deep/large.bin is not what the run left" in err
    assert not list((tmp_path / "o/out/deep").iterdir())


REFUSED = {
    "nobody has it": ([entry("a", b"abc")], ["--out", "o"], "a cannot be read: it is not saved"),
    "over the limit": (
        [entry("a", b"", size=99, truncated=True)],
        ["--out", "o"],
        "was not kept completely: its 99 bytes are beyond outputLimitBytes",
    ),
    "another path": ([entry("a", b"x", content="x")], ["b"], "no file b was captured"),
    "a folder": ([entry("a/b", b"x", content="x")], ["a"], "a is a folder: use --out DIR"),
    "out of the folder": (
        [entry("../evil", b"x", content="x")],
        ["--out", "o"],
        "../evil is not written: it would leave o",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_had_is_told(
    shell: Shell, operator: dict[int, bytes], tmp_path: Path, name: str
) -> None:
    files, arguments, want = REFUSED[name]
    del operator
    add(shell, files)
    shell.patch.chdir(tmp_path)
    code, _, err = shell.call("files", "done", *arguments, "-n", NAMESPACE)
    assert code == 1
    assert want in err
    assert not (tmp_path / "evil").exists()


def test_files_of_what_runs_are_not_there_yet(shell: Shell) -> None:
    add(shell, [], over=False)
    code, _, err = shell.call("files", "done", "-n", NAMESPACE)
    assert (code, err) == (
        1,
        "soulbox: Execution done has not ended yet: files are captured at its end\n",
    )


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "..", "", "a\0b", "link/x"])
def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(CommandError, match="it would leave"):
        place_below(out, path)


@pytest.mark.parametrize("path", ["a", "a/b", "..a/.b", "a b/…"])
def test_plain_path_stays_below_the_folder(tmp_path: Path, path: str) -> None:
    assert place_below(tmp_path, path) == tmp_path / path
