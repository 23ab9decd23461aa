"""Output to the byte: around the limit, very large, binary, and the worst a program can write
into the largest object there may be."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LIMIT = 100_000
# i-th byte is i % 251: any shift, gap or doubling changes the hash.
WRITE = (
    "import sys\n"
    "size = {size}\n"
    "block = bytes(i % 251 for i in range(251 * 4096))\n"
    "whole, rest = divmod(size, len(block))\n"
    "for _ in range(whole):\n"
    "    sys.{stream}.buffer.write(block)\n"
    "sys.{stream}.buffer.write(block[:rest])\n"
)


def pattern(size: int) -> bytes:
    """What WRITE writes."""
    block = bytes(i % 251 for i in range(251 * 4096))
    return (block * (size // len(block) + 1))[:size]


def stored(world: World, uid: str, stream: str, inline: str) -> bytes:
    """The whole of what is kept, from PostgreSQL; from the row where that has all."""
    world.wait_rows(
        "select 1 from soulbox.executions where uid = %(uid)s and output_complete", uid=uid
    )
    (row,) = world.rows(
        "select string_agg(bytes, ''::bytea order by seq) as whole from soulbox.execution_outputs"
        " where uid = %(uid)s and stream = %(stream)s",
        uid=uid,
        stream=stream,
    )
    return inline.encode() if row["whole"] is None else bytes(row["whole"])


def check(world: World, created: Manifest, stream: str, size: int, limit: int) -> None:
    """Count and hash are of all that was written, what is kept is its first `limit` bytes."""
    output = world.execution(created["metadata"]["name"])["status"]["output"]
    want = pattern(size)
    assert output[f"{stream}Bytes"] == size
    assert output[f"{stream}Sha256"] == hashlib.sha256(want).hexdigest()
    kept = stored(world, created["metadata"]["uid"], stream, output[stream])
    assert len(kept) == min(size, limit)
    assert kept == want[:limit]


@pytest.fixture
def box(world: World) -> World:
    """A world with a running Sandbox `box`."""
    world.create(make_sandbox("box", resources={"memory": "128Mi"}))
    world.sandbox("box")
    return world


def test_around_the_limit(box: World) -> None:
    made = []
    for stream in ("stdout", "stderr"):
        for size in (0, 1, LIMIT - 1, LIMIT, LIMIT + 1):
            code = WRITE.format(size=size, stream=stream)
            name = f"{stream}-{size}"
            created = box.create(make_execution(name, code=code, outputLimitBytes=LIMIT))
            made.append((created, stream, size))
    for created, stream, size in made:
        check(box, created, stream, size, LIMIT)


def test_a_hundred_megabytes(box: World) -> None:
    code = WRITE.format(size=100_000_000, stream="stdout")
    created = box.create(make_execution("large", code=code))
    check(box, created, "stdout", 100_000_000, 10 * 2**20)
    assert created["spec"].get("outputLimitBytes") is None


def test_a_limit_of_nothing_keeps_nothing_and_counts_all(box: World) -> None:
    created = box.create(make_execution("none", code="print('seen')", outputLimitBytes=0))
    output = box.execution("none")["status"]["output"]
    assert output["stdoutBytes"] == 5
    assert output["stdoutSha256"] == hashlib.sha256(b"seen\n").hexdigest()
    rows = box.rows(
        "select 1 from soulbox.execution_outputs where uid = %(uid)s",
        uid=created["metadata"]["uid"],
    )
    assert rows == []


UTF8 = "import sys\nsys.stdout.buffer.write('ä€😀'.encode() * 9000 + b'\\xf0\\x9f\\x98')\n"


def test_characters_cut_in_two_are_whole_in_sql(box: World) -> None:
    created = box.create(make_execution("utf8", code=UTF8))
    output = box.execution("utf8")["status"]["output"]
    want = "ä€😀".encode() * 9000 + b"\xf0\x9f\x98"
    assert output["stdoutBytes"] == len(want)
    assert output["stdoutTruncated"] is True
    assert stored(box, created["metadata"]["uid"], "stdout", output["stdout"]) == want


WORST = """
import os, sys
for stream in (sys.stdout, sys.stderr):
    stream.write("\\1" * 70_000)
os.makedirs("w", exist_ok=True)
for number in range(80):
    with open("w/" + f"{number:03}" + "\\1" * 200, "w") as file:
        file.write("\\1" * 500)
"""


@pytest.mark.parametrize("filling", ["ascii", "control", "too full for its status"])
def test_largest_object_with_the_worst_output_ends(box: World, filling: str) -> None:
    code = f"{WORST}\n# "
    room = 262_144 - len(code)
    if filling == "ascii":
        code += "x" * room
    elif filling == "control":
        code += "\1" * 200_000  # six bytes each in JSON
    else:
        code += "\1" * 242_000  # etcd takes 1.5 MiB: no room for what it writes
    stdin = "s" * (393_216 - 262_144) if filling == "ascii" else None
    box.create(make_execution("worst", code=code, stdin=stdin, captureFiles=["w/*"]))
    status = box.execution("worst")["status"]
    assert status["state"] == "Completed", status
    output = status["output"]
    assert (output["stdoutBytes"], output["stdoutTruncated"]) == (70_000, True)
    assert len(output["files"]) + output["filesOmitted"] == 80
