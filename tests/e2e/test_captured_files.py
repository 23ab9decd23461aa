"""Files that captureFiles keeps, and what it leaves alone, on a real kubelet."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MAKE = """
import os
os.makedirs("out/deep/er", exist_ok=True)
open("out/a.txt", "w").write("text of a\\n")
open("out/deep/er/b.csv", "w").write("1,2\\n")
open("out/deep/c.bin", "wb").write(bytes(range(256)) * 4096)
open("out/empty", "w").close()
open("left.txt", "w").write("nobody asked")
"""
ODD = """
import os
os.makedirs("odd", exist_ok=True)
os.symlink("/etc/passwd", "odd/passwd")
os.symlink("/proc", "odd/proc")
os.symlink("..", "odd/up")
os.mkfifo("odd/fifo")
import socket
socket.socket(socket.AF_UNIX).bind("odd/socket")
open("odd/plain", "w").write("plain")
os.link("odd/plain", "odd/hard")
"""
MANY = """
import os
os.makedirs("many", exist_ok=True)
for number in range(100_000):
    os.close(os.open(f"many/{number:06}", os.O_CREAT | os.O_WRONLY))
"""


@pytest.fixture
def box(world: World) -> World:
    """A world with a running Sandbox `box`."""
    world.create(make_sandbox("box"))
    world.sandbox("box")
    return world


def test_files_are_listed_small_text_inline_all_bytes_in_sql(box: World) -> None:
    created = box.create(make_execution("run", code=MAKE, captureFiles=["out/**/*", "nothing/*"]))
    output = box.execution("run")["status"]["output"]
    files = {file["path"]: file for file in output["files"]}
    assert list(files) == ["out/a.txt", "out/deep/c.bin", "out/deep/er/b.csv", "out/empty"]
    assert files["out/a.txt"]["content"] == "text of a\n"
    assert files["out/empty"]["content"] == ""
    assert files["out/deep/c.bin"]["size"] == 1_048_576
    assert "content" not in files["out/deep/c.bin"]
    assert "filesOmitted" not in output
    uid = created["metadata"]["uid"]
    rows = box.wait_rows(
        "select path, content from soulbox.execution_files where uid = %(uid)s order by place",
        lambda found: bool(found) and all(row["content"] is not None for row in found),
        uid=uid,
    )
    assert [row["path"] for row in rows] == list(files)
    for row in rows:
        digest = hashlib.sha256(bytes(row["content"])).hexdigest()
        assert digest == files[row["path"]]["sha256"]


def test_links_pipes_and_sockets_are_passed_over(box: World) -> None:
    box.create(make_execution("run", code=ODD, captureFiles=["odd/**"]))
    status = box.execution("run")["status"]
    assert status["state"] == "Completed"
    assert [file["path"] for file in status["output"]["files"]] == ["odd/hard", "odd/plain"]


def test_a_hundred_thousand_files_are_sixty_four_and_a_count(box: World) -> None:
    box.create(make_execution("run", code=MANY, captureFiles=["many/*"]))
    status = box.execution("run")["status"]
    assert status["state"] == "Completed"
    assert [file["path"] for file in status["output"]["files"]] == [
        f"many/{number:06}" for number in range(64)
    ]
    assert status["output"]["filesOmitted"] == 100_000 - 64


def test_output_limit_holds_for_streams_and_files(box: World) -> None:
    code = "print('x' * 99)\nopen('big', 'w').write('y' * 500)\n"
    created = box.create(
        make_execution("run", code=code, captureFiles=["big"], outputLimitBytes=64)
    )
    output = box.execution("run")["status"]["output"]
    assert output["stdoutBytes"] == 100
    (file,) = output["files"]
    assert (file["size"], file["truncated"]) == (500, True)
    assert file["sha256"] == hashlib.sha256(b"y" * 64).hexdigest()
    rows = box.wait_rows(
        "select content from soulbox.execution_files where uid = %(uid)s and content is not null",
        uid=created["metadata"]["uid"],
    )
    assert bytes(rows[0]["content"]) == b"y" * 64
