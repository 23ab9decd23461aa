"""Output: all of it counted and hashed, none of it in the way of the program."""

from __future__ import annotations

import base64
import hashlib
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_SECONDS
from tests.support.runner_client import Runner, start_runner, text

HEAD = TAIL = 32768


def check(stream: dict[str, object], want: bytes, limit: int = 10 << 20) -> None:
    """The stream of a document tells the truth about these bytes."""
    head, tail = (base64.b64decode(str(stream[part])) for part in ("head", "tail"))
    assert head == want[:HEAD]
    assert tail == want[HEAD:][-TAIL:]
    assert stream["bytes"] == len(want)
    assert stream["storedBytes"] == min(len(want), limit)
    assert stream["truncated"] is (len(want) > limit)
    assert stream["sha256"] == hashlib.sha256(want).hexdigest()


@pytest.mark.parametrize(
    "size",
    [0, 1, HEAD - 1, HEAD, HEAD + 1, HEAD + TAIL - 1, HEAD + TAIL, HEAD + TAIL + 1, 200_000],
)
def test_head_and_tail_never_overlap_nor_leave_a_gap(runner: Runner, size: int) -> None:
    code = f"import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes({size}))"
    doc = runner.run("a", code)
    want = random.Random(1).randbytes(size)
    check(doc["output"]["stdout"], want)
    check(doc["output"]["stderr"], b"")
    assert runner.stored("a", "stdout") == want


def test_both_streams_are_read_at_once(runner: Runner) -> None:
    """Either alone would fill its pipe and block the program for ever."""
    code = (
        "import os\nfor _ in range(200):\n  os.write(1, b'o' * 65536)\n  os.write(2, b'e' * 65536)"
    )
    doc = runner.run("a", code, outputLimitBytes=0)
    check(doc["output"]["stdout"], b"o" * 200 * 65536, limit=0)
    check(doc["output"]["stderr"], b"e" * 200 * 65536, limit=0)


def test_stored_bytes_end_at_the_limit_and_the_run_goes_on(runner: Runner) -> None:
    code = "import sys; sys.stdout.write('x' * 5000); sys.exit(3)"
    doc = runner.run("a", code, outputLimitBytes=1000)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 3}
    check(doc["output"]["stdout"], b"x" * 5000, limit=1000)
    assert runner.stored("a", "stdout") == b"x" * 1000


def test_binary_output_arrives_unchanged(runner: Runner) -> None:
    want = bytes(range(256)) * 3 + b"\x00\xff\xfe\xed\xa0\x80 no newline"
    doc = runner.run("a", f"import os; os.write(1, {want!r})")
    check(doc["output"]["stdout"], want)
    assert runner.stored("a", "stdout") == want


def test_output_is_read_from_an_offset_while_the_run_goes_on(runner: Runner) -> None:
    code = "import time\nprint('one', flush=True)\ntime.sleep(600)"
    runner.put("a", code=code)
    target = "/v1/executions/a/1/output/stdout"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (reply := runner.call("GET", target)).body != b"one\n":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert reply.headers["soulbox-state"] == "Running"
    assert reply.headers["soulbox-stored-bytes"] == "4"
    assert reply.headers["content-type"] == "application/octet-stream"
    assert runner.call("GET", target + "?offset=2").body == b"e\n"
    beyond = runner.call("GET", target + "?offset=4")
    assert (beyond.status, beyond.body) == (200, b"")
    assert runner.call("GET", target + "?offset=100").body == b""
    assert runner.call("GET", target + "?offset=-1").code == "Invalid"
    assert runner.call("GET", "/v1/executions/a/1/output/stdin").status == 404
    running = runner.get("a").json
    assert text(running["output"]["stdout"]) == "one\n"


def test_program_that_closes_its_streams_goes_on(runner: Runner) -> None:
    code = "import os, time, sys\nfor fd in (0, 1, 2): os.close(fd)\ntime.sleep(0.3)\nos._exit(5)"
    doc = runner.run("a", code)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 5}
    assert doc["durationMilliseconds"] >= 300


def test_stdin_arrives_whole_and_ends(runner: Runner) -> None:
    code = "import sys, hashlib; d = sys.stdin.buffer.read(); print(hashlib.sha256(d).hexdigest())"
    given = "Zoë\n" * 60_000
    doc = runner.run("a", code, stdin=given)
    assert text(doc["output"]["stdout"]).strip() == hashlib.sha256(given.encode()).hexdigest()
    assert text(runner.run("b", "print(len(input()) if 0 else open(0).read() == '')")["output"][
        "stdout"
    ]) == "True\n"  # fmt: skip


def test_stdin_that_nobody_reads_holds_up_nothing(runner: Runner) -> None:
    doc = runner.run("a", "print('done')", stdin="x" * 300_000)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}


@pytest.mark.slow
def test_200_megabytes_of_output_take_little_memory(runner: Runner) -> None:
    block = 1 << 20
    blocks = 200
    code = f"import os\nfor i in range({blocks}): os.write(1, bytes([i]) * {block})"
    doc = runner.run("a", code)
    stream = doc["output"]["stdout"]
    whole = hashlib.sha256()
    for i in range(blocks):
        whole.update(bytes([i]) * block)
    assert stream["bytes"] == blocks * block
    assert stream["sha256"] == whole.hexdigest()
    assert stream["storedBytes"] == 10 << 20
    assert base64.b64decode(stream["tail"]) == bytes([blocks - 1]) * TAIL
    assert runner.status_value("VmHWM") < 32 * 1024, "kB"


@pytest.mark.slow
def test_100_megabytes_stored_take_little_memory(runner: Runner) -> None:
    size = 100 << 20
    code = "import os\nfor _ in range(100): os.write(1, b'x' * (1 << 20))"
    doc = runner.run("a", code, outputLimitBytes=size)
    assert doc["output"]["stdout"]["storedBytes"] == size
    whole = hashlib.sha256()
    offset = 0
    while offset < size:
        reply = runner.call("GET", f"/v1/executions/a/1/output/stdout?offset={offset}")
        assert 0 < len(reply.body) <= 1 << 20
        whole.update(reply.body)
        offset += len(reply.body)
    assert whole.hexdigest() == doc["output"]["stdout"]["sha256"]
    assert runner.status_value("VmHWM") < 32 * 1024, "kB"


def test_slow_operator_never_blocks_the_program(runner: Runner) -> None:
    """Nobody asks for anything while 50 MB are written; the program ends all the same."""
    code = "import os\nfor _ in range(50): os.write(1, b'x' * (1 << 20))\nopen('end', 'w').close()"
    runner.put("a", code=code)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (runner.workspace / "end").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def small_disk(base: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB for the output."""
    target = base / "output"
    target.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", str(target)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield target
    subprocess.run(["umount", "--lazy", str(target)], check=True)


def test_full_disk_for_output_cuts_storage_and_not_the_run(
    small_disk: Path, binary: Path, base: Path
) -> None:
    with start_runner(binary, base) as runner:
        size = 3 << 20
        doc = runner.run("a", f"import sys; sys.stdout.write('x' * {size}); sys.exit(4)")
        assert doc["result"] == {"outcome": "Exited", "exitCode": 4}
        stream = doc["output"]["stdout"]
        assert stream["bytes"] == size
        assert 0 < stream["storedBytes"] <= 1 << 20
        assert stream["truncated"] is True
        assert stream["sha256"] == hashlib.sha256(b"x" * size).hexdigest()
        assert len(runner.stored("a", "stdout")) == stream["storedBytes"]
        # A second run finds no room at all and runs nevertheless.
        doc = runner.run("b", "print('no room')")
        assert text(doc["output"]["stdout"]) == "no room\n"
        assert doc["output"]["stdout"]["storedBytes"] == 0
        # Release makes room again.
        assert runner.release("a").status == 204
        assert runner.run("c", "print('room')")["output"]["stdout"]["storedBytes"] == 5


def test_output_is_copied_to_the_log_when_asked(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--log-output") as runner:
        runner.run("a", "print('{\"msg\":\"listening\"}'); print('second'); print('x' * 20000)")
        deadline = time.monotonic() + PATIENCE_SECONDS
        wanted = '{"execution":"a/1","stream":"stdout","text":"second"}'
        while wanted not in runner.log:
            assert time.monotonic() < deadline, runner.log
            time.sleep(0.01)
        assert '{"execution":"a/1","stream":"stdout","text":"{\\"msg\\":\\"listening\\"}"}' in (
            runner.log
        )
        assert not any("x" * 10000 in line for line in runner.log)


def test_output_is_not_in_the_log_otherwise(runner: Runner) -> None:
    runner.run("a", "print('secret')")
    assert not any("secret" in line for line in runner.log)
