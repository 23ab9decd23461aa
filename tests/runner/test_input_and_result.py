"""Input that is given to a run, and the result that it leaves."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner_client import HIGH_UID, Runner, start_runner, text, wait_until

MOST_RESULT, MOST_INPUT = 65_536, 262_144
SETPRIV = ("setpriv", f"--reuid={HIGH_UID}", f"--regid={HIGH_UID}", "--clear-groups")
BASH = {"command": ["bash"], "extension": ".sh"}


def result(doc: dict[str, Any]) -> bytes:
    """What a run left, of which the document says the truth."""
    left = doc["resultFile"]
    content = base64.b64decode(left.get("content", ""), validate=True)
    assert left["size"] == len(content)
    assert left["sha256"] == hashlib.sha256(content).hexdigest()
    assert left.keys() <= {"content", "size", "sha256"}
    return content


def write(expression: str) -> str:
    """Code that writes those bytes as the result."""
    return f"import os\nopen(os.environ['SOULBOX_RESULT'], 'wb').write({expression})"


AND_WAIT = "\nprint('written', flush=True)\nimport time; time.sleep(600)"
READ = """
import os, stat, sys
path = os.environ['SOULBOX_INPUT']
raw = open(path, 'rb').read()
open(os.environ['SOULBOX_RESULT'], 'wb').write(raw[:60_000])
print(len(raw), sys.stdin.buffer.read() == raw, oct(os.stat(os.path.dirname(path)).st_mode & 0o777))
"""


@pytest.mark.parametrize(
    "given",
    ['{"größe": [1, 2.50, null]}', "null", ' "\\u0000\\ud800" \n', f'"{"é" * 131_071}"'],
    ids=["object", "null", "escapes and spaces", "the largest"],
)
def test_input_is_in_a_file_and_on_standard_input(runner: Runner, given: str) -> None:
    doc = runner.run("a", READ, input=given)
    raw = given.encode()
    assert len(raw) <= MOST_INPUT
    assert text(doc["output"]["stdout"]) == f"{len(raw)} True 0o700\n", doc
    assert result(doc) == raw[:60_000]
    assert list((runner.base / "tmp").iterdir()) == [], "it is gone with the run"
    assert list(runner.workspace.iterdir()) == []


def test_standard_input_that_is_given_is_what_the_program_gets(runner: Runner) -> None:
    for uid, stdin in (("a", "words"), ("b", "")):
        doc = runner.run(uid, 'cat; cat "$SOULBOX_INPUT"', input="[1]", stdin=stdin, **BASH)
        assert text(doc["output"]["stdout"]) == f"{stdin}[1]"
    doc = runner.run("none", 'cat; echo "${SOULBOX_INPUT-unset}"', **BASH)
    assert text(doc["output"]["stdout"]) == "unset\n"


def test_input_cannot_be_changed_by_accident_and_env_does_not_cover_it(runner: Runner) -> None:
    env = [{"name": name, "value": "/nowhere"} for name in ("SOULBOX_INPUT", "SOULBOX_RESULT")]
    code = 'stat -c %a "$SOULBOX_INPUT"; cat "$SOULBOX_INPUT"; printf 5 > "$SOULBOX_RESULT"'
    doc = runner.run("a", code, input="[1]", env=env, **BASH)
    assert text(doc["output"]["stdout"]) == "400\n[1]"
    assert result(doc) == b"5"


@pytest.mark.parametrize(
    "given",
    ["{", "", "1 2", f'"{"x" * MOST_INPUT}"'],
    ids=["half", "empty", "two", "too large"],
)
def test_input_that_is_no_json_or_too_large_is_refused(runner: Runner, given: str) -> None:
    reply = runner.put("a", input=given)
    assert (reply.status, reply.code) == (400, "Invalid")
    assert reply.json["error"]["message"].startswith("input: ")


@pytest.mark.parametrize(
    "left",
    [b'{"a": 1.50, "a": "\xc3\xa9"}\n', b"", b"no JSON \x00\xff", b"x" * MOST_RESULT],
    ids=["JSON", "empty", "no JSON", "the largest"],
)
def test_result_is_told_to_the_byte(runner: Runner, left: bytes) -> None:
    doc = runner.run("a", write(repr(left)), captureFiles=["**"])
    assert result(doc) == left
    assert "files" not in doc
    listed = runner.call("GET", "/v1/executions").json
    assert "resultFile" not in listed["executions"][0]
    assert set(listed["features"]) == {"handler", "input", "resultFile"}


def test_program_that_leaves_nothing_has_no_result(runner: Runner) -> None:
    code = "import os; print(os.path.exists(os.environ['SOULBOX_RESULT']))"
    doc = runner.run("a", code)
    assert text(doc["output"]["stdout"]) == "False\n"
    assert "resultFile" not in doc
    assert "resultFile" not in runner.run("b", "", command=["no-such-program"])


def test_result_is_told_whatever_the_outcome_and_not_before(runner: Runner) -> None:
    doc = runner.run("a", write("b'1'") + "; raise SystemExit(3)")
    assert (doc["result"]["exitCode"], result(doc)) == (3, b"1")
    runner.put("b", code=write("b'2'") + AND_WAIT)
    wait_until(lambda: runner.stored("b", "stdout") == b"written\n", "the result")
    assert "resultFile" not in runner.get("b").json
    runner.cancel("b")
    doc = runner.finish("b")
    assert (doc["result"]["outcome"], result(doc)) == ("Cancelled", b"2")


def test_result_of_a_child_that_outlives_the_program_counts(runner: Runner) -> None:
    code = 'r=$SOULBOX_RESULT; { sleep 0.05; printf "[1]" > $r.x; mv $r.x $r; } &'
    assert result(runner.run("a", code, **BASH)) == b"[1]"


LEAVE = {
    "one byte too many": ("open(path, 'wb').write(b'x' * 65_537)", "TooLarge", 65_537),
    "a hole of a terabyte": ("open(path, 'wb').truncate(1 << 40)", "TooLarge", 1 << 40),
    "a directory": ("os.makedirs(path + '/x')", "NotAFile", 0),
    "a FIFO": ("os.mkfifo(path)", "NotAFile", 0),
    "a socket": ("socket.socket(socket.AF_UNIX).bind(path)", "NotAFile", 0),
    "a link to a file of the system": ("os.symlink('/etc/passwd', path)", "NotAFile", 0),
    "a link beside it": ("open(path + 'x', 'w').write('1'); os.symlink('result.jsonx', path)",
                         "NotAFile", 0),
    "a link that leads nowhere": ("os.symlink('nowhere', path)", "NotAFile", 0),
    "a second name": ("open(path + 'x', 'w').write('1'); os.link(path + 'x', path)", "NotAFile", 0),
    "a file nobody may read": ("open(path, 'w').write('1'); os.chmod(path, 0)", "Unreadable", 0),
    "a directory nobody may enter": ("open(path, 'w').write('1'); os.chmod('.', 0)",
                                     "Unreadable", 0),
}  # fmt: skip


def test_what_is_no_result_is_told_and_not_read(binary: Path, base: Path) -> None:
    with start_runner(binary, base, prefix=SETPRIV) as runner:
        for uid, (what, (code, problem, size)) in enumerate(LEAVE.items()):
            setup = "import os, socket\npath = os.environ['SOULBOX_RESULT']\n"
            setup += "os.chdir(os.path.dirname(path))\n"
            limits = {"fileSizeBytes": 1 << 42}
            doc = runner.run(f"r{uid}", setup + code, limits=limits)
            assert doc["result"] == {"outcome": "Exited", "exitCode": 0}, (what, doc)
            left = doc["resultFile"]
            assert left.pop("message"), what
            assert left == {"size": size, "problem": problem}, what
            assert list((base / "tmp").iterdir()) == [], what
        # Nothing of it is in the next one's way.
        assert result(runner.run("after", write("b'1'"))) == b"1"
        assert runner.status_value("VmHWM") < 32 * 1024, "kB"


def test_private_directory_put_elsewhere_still_has_the_result(runner: Runner) -> None:
    """And what was put in its place does not."""
    code = """
import os
private = os.path.dirname(os.environ['SOULBOX_RESULT'])
os.mkdir('fake'); open('fake/result.json', 'w').write('"of another"')
open(os.environ['SOULBOX_RESULT'], 'w').write('"mine"')
os.rename(private, private + '-moved'); os.symlink(os.path.abspath('fake'), private)
"""
    assert result(runner.run("a", code)) == b'"mine"'
    assert (runner.workspace / "fake/result.json").exists(), "nothing but the link was removed"


def test_private_directory_that_is_gone_is_no_result(runner: Runner) -> None:
    code = "import os, shutil; shutil.rmtree(os.path.dirname(os.environ['SOULBOX_RESULT']))"
    doc = runner.run("a", code)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
    assert "resultFile" not in doc


def test_result_of_an_earlier_run_is_not_a_later_one_s(runner: Runner) -> None:
    keep = "import os; print(os.environ['SOULBOX_RESULT'])\n"
    first = runner.run("a", keep + write("b'1'"))
    path = Path(text(first["output"]["stdout"]).strip())
    assert not path.exists()
    # As a runner that died, or an earlier program of that user, may have left it.
    for name in ("b", "c"):
        planted = Path(str(path).replace("soulbox-a-1", f"soulbox-{name}-1"))
        planted.parent.mkdir()
        planted.write_text("planted")
    code = "import os; print(os.listdir(os.path.dirname(os.environ['SOULBOX_RESULT'])))"
    doc = runner.run("b", code)
    assert text(doc["output"]["stdout"]) == "['tmp']\n"
    assert "resultFile" not in doc
    assert result(runner.run("c", write("b'3'"))) == b"3"
    assert result(runner.get("a").json) == b"1"


def test_runs_at_once_have_each_their_own(binary: Path, base: Path) -> None:
    code = """
import json, os, sys, time
given = json.load(open(os.environ['SOULBOX_INPUT']))
assert json.load(sys.stdin) == given
open(f'begun-{given}', 'w')
while len([name for name in os.listdir('.') if name[0] == 'b']) < 3: time.sleep(0.01)
json.dump(given * 10, open(os.environ['SOULBOX_RESULT'], 'w'))
"""
    with start_runner(binary, base, "--max-concurrent=3") as runner:
        for n in range(3):
            assert runner.put(f"r{n}", code=code, input=str(n)).status == 201
        for n in range(3):
            assert result(runner.finish(f"r{n}")) == str(n * 10).encode()


@pytest.fixture
def strangers(binary: Path, base: Path) -> Iterator[tuple[Runner, Runner]]:
    """Two runners of different users, as two pods on a node that shared their temporary files."""
    for name in ("one", "other"):
        (base / name).mkdir()
        (base / name).chmod(0o777)
    other = ("setpriv", f"--reuid={HIGH_UID + 100_000}", f"--regid={HIGH_UID + 100_000}",
             "--clear-groups")  # fmt: skip
    with (
        start_runner(binary, base / "one", prefix=SETPRIV) as first,
        start_runner(binary, base / "other", prefix=other) as second,
    ):
        yield first, second


def test_another_user_sees_neither_input_nor_result(strangers: tuple[Runner, Runner]) -> None:
    first, second = strangers
    first.put("a", code="import os; print(os.environ['SOULBOX_RESULT'])\n" + write("b'secret'")
              + AND_WAIT, input='"secret"')  # fmt: skip
    wait_until(lambda: first.stored("a", "stdout").endswith(b"written\n"), "the result")
    private = os.path.dirname(first.stored("a", "stdout").decode().splitlines()[0])
    assert stat.S_IMODE(os.stat(private).st_mode) == 0o700
    doc = second.run("a", f"""
import os
private = {private!r}
for attempt in (lambda: os.listdir(private), lambda: open(private + '/input.json'),
                lambda: open(private + '/result.json', 'w'), lambda: os.mkdir(private + '/x')):
    try: print('done', attempt())
    except OSError as error: print(error.errno)
""")  # fmt: skip
    assert text(doc["output"]["stdout"]).split() == ["13"] * 4
    first.cancel("a")
    assert result(first.finish("a")) == b"secret"


def test_result_survives_the_runner_and_goes_with_the_release(binary: Path, base: Path) -> None:
    left = b"x" * MOST_RESULT
    with start_runner(binary, base) as first:
        before = first.run("a", write(repr(left)))
        large = first.run("b", write("b'x' * 65_537"))
        first.run("c", "1")
        assert max(path.stat().st_size for path in (base / "state").iterdir()) < 4096
        first.process.kill()
        first.process.wait()
    with start_runner(binary, base, signer=first.signer) as second:
        assert second.get("a").json == before
        assert result(second.get("a").json) == left
        assert second.get("b").json["resultFile"] == large["resultFile"]
        assert "resultFile" not in second.get("c").json
        # Whoever changes it, without Landlock, is found out.
        kept = base / "output" / "a.1" / "result"
        kept.write_bytes(b"y" * MOST_RESULT)
        changed = second.get("a").json["resultFile"]
        assert (changed["problem"], "content" in changed) == ("Unreadable", False)
        assert second.release("a").status == 204
        assert not kept.exists()


def test_run_that_dies_with_the_runner_has_no_result(binary: Path, base: Path) -> None:
    code = write("b'1'") + AND_WAIT
    with start_runner(binary, base) as first:
        first.put("a", code=code, input="1")
        wait_until(lambda: first.stored("a", "stdout") == b"written\n", "the result")
        first.process.kill()
        first.process.wait()
    with start_runner(binary, base, signer=first.signer) as second:
        doc = second.get("a").json
        assert doc["result"]["outcome"] == "Signaled"
        assert "resultFile" not in doc


def test_memory_does_not_grow_with_results_that_wait(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--max-unreleased=128") as runner:
        for n in range(100):
            runner.run(f"r{n}", 'head -c 65536 /dev/zero > "$SOULBOX_RESULT"', **BASH)
        assert runner.status_value("VmHWM") < 32 * 1024, "kB"
        assert len(json.loads(runner.call("GET", "/v1/executions").body)["executions"]) == 100
        assert result(runner.get("r0").json) == bytes(MOST_RESULT)
