"""The calls of the API and their answers, one runner each."""

from __future__ import annotations

import base64
import dataclasses
import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.runner_client import POD_UID, Runner, Signer, start_runner, text, wait_until

LONG = "import time; print('begun', flush=True); time.sleep(600)"


def test_put_with_wait_gives_the_finished_document(runner: Runner) -> None:
    reply = runner.put("a", code="print(42)", wait="10s")
    assert reply.status == 201
    doc = reply.json
    assert doc["state"] == "Finished"
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
    assert text(doc["output"]["stdout"]) == "42\n"
    assert doc["acceptedTime"] <= doc["startTime"] <= doc["completionTime"]
    assert doc["usage"]["cpuTimeMilliseconds"] > 0
    assert doc["usage"]["peakMemoryBytes"] > 2**20
    assert doc["usage"]["shared"] is False


def test_put_without_wait_answers_before_the_end(runner: Runner) -> None:
    reply = runner.put("a", code=LONG)
    assert reply.status == 201
    assert reply.json["state"] in ("Accepted", "Running")
    assert "result" not in reply.json


def test_put_again_with_the_same_body_gives_what_is(runner: Runner) -> None:
    first = runner.put("a", code="import os; open('ran', 'a').write('x')", wait="10s")
    again = runner.put("a", code="import os; open('ran', 'a').write('x')", wait="10s")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert (runner.workspace / "ran").read_text() == "x"


def test_put_again_with_another_body_is_a_conflict(runner: Runner) -> None:
    runner.put("a", code="1", wait="10s")
    reply = runner.put("a", code="2")
    assert (reply.status, reply.code) == (409, "Conflict")


def test_put_by_many_at_once_runs_once(runner: Runner) -> None:
    body = json.dumps({"command": ["sh"], "code": "echo x >> ran; sleep 0.2"}).encode()
    target = "/v1/executions/a/1?wait=10s"

    def one(_: int) -> int:
        caller = dataclasses.replace(runner, connection=None)
        try:
            return caller.call("PUT", target, body).status
        finally:
            caller.disconnect()

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(one, range(8)))
    assert statuses == [200] * 7 + [201]
    assert (runner.workspace / "ran").read_text() == "x\n"


def test_caller_that_leaves_changes_nothing(runner: Runner) -> None:
    body = json.dumps({"command": ["sh"], "code": "sleep 0.5; echo whole"}).encode()
    target = "/v1/executions/a/1?wait=30s"
    with socket.create_connection((runner.host, runner.port)) as caller:
        headers = {**runner.signer.headers("PUT", target, body), "Content-Length": len(body)}
        lines = [f"PUT {target} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
        caller.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        wait_until(lambda: runner.get("a").status == 200, "acceptance")
    assert text(runner.finish("a")["output"]["stdout"]) == "whole\n"


def test_put_another_attempt_runs_again(runner: Runner) -> None:
    runner.put("a", 1, code="print(1)", wait="10s")
    reply = runner.put("a", 2, code="print(2)", wait="10s")
    assert reply.status == 201
    assert text(reply.json["output"]["stdout"]) == "2\n"


def test_put_while_another_runs_is_busy(runner: Runner) -> None:
    runner.put("a", code=LONG)
    reply = runner.put("b", code="1")
    assert (reply.status, reply.code) == (429, "Busy")
    runner.cancel("a")
    runner.finish("a")
    assert runner.put("b", code="1", wait="10s").json["state"] == "Finished"


def test_put_into_a_full_table_is_refused_and_nothing_is_dropped(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--max-unreleased", "2") as runner:
        for uid in ("a", "b"):
            assert runner.run(uid, f"print('{uid}')")["state"] == "Finished"
        reply = runner.put("c", code="1")
        assert (reply.status, reply.code) == (429, "TableFull")
        assert text(runner.get("a").json["output"]["stdout"]) == "a\n"
        assert runner.release("a").status == 204
        assert runner.put("c", code="1", wait="10s").status == 201


def test_release_leaves_a_tombstone(runner: Runner) -> None:
    runner.run("a", "print(1)")
    assert runner.release("a").status == 204
    assert runner.release("a").status == 204
    for reply in (
        runner.put("a", code="print(1)"),
        runner.get("a"),
        runner.cancel("a"),
        runner.call("GET", "/v1/executions/a/1/output/stdout"),
    ):
        assert (reply.status, reply.code) == (410, "Released")
    assert runner.put("a", 2, code="print(1)", wait="10s").status == 201
    assert list((runner.base / "output").iterdir()) == [runner.base / "output" / "a.2"]


def test_release_of_a_running_execution_is_refused(runner: Runner) -> None:
    runner.put("a", code=LONG)
    reply = runner.release("a")
    assert (reply.status, reply.code) == (409, "Running")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/executions/nobody/1"),
        ("DELETE", "/v1/executions/nobody/1"),
        ("POST", "/v1/executions/nobody/1/release"),
        ("GET", "/v1/executions/nobody/1/output/stdout"),
        ("GET", "/v1/executions/nobody/1/files/x"),
        ("GET", "/v1/nothing"),
        ("GET", "/"),
        ("PATCH", "/v1/nothing"),
    ],
)
def test_what_is_not_known_is_not_found(runner: Runner, method: str, target: str) -> None:
    reply = runner.call(method, target)
    assert (reply.status, reply.code) == (404, "NotFound")


@pytest.mark.parametrize(
    ("method", "target", "field"),
    [
        ("GET", "/v1/executions/a%2Fb/1", "uid"),
        ("GET", "/v1/executions/%2e%2e/1", "uid"),
        ("GET", "/v1/executions/a%00b/1", "uid"),
        ("GET", f"/v1/executions/{'a' * 64}/1", "uid"),
        ("GET", "/v1/executions/a/99999999999", "attempt"),
        ("GET", "/v1/executions/a/0", "attempt"),
        ("GET", "/v1/executions/a/01", "attempt"),
        ("GET", "/v1/executions/a/x", "attempt"),
        ("PUT", "/v1/executions/a/1?wait=soon", "wait"),
        ("PUT", "/v1/executions/a/1?wait=-1s", "wait"),
        ("PUT", "/v1/executions/a/1", "body"),
    ],
)
def test_bad_requests_name_the_field(runner: Runner, method: str, target: str, field: str) -> None:
    reply = runner.call(method, target)
    assert (reply.status, reply.code) == (400, "Invalid"), reply
    assert reply.json["error"]["message"].startswith(field + ":")


def test_bad_body_names_the_field_and_starts_nothing(runner: Runner) -> None:
    reply = runner.put("a", code="1", timeoutSeconds=-1)
    assert (reply.status, reply.code) == (400, "Invalid")
    assert reply.json["error"]["message"].startswith("timeoutSeconds:")
    assert runner.get("a").status == 404


def test_body_beyond_the_bound_is_refused(runner: Runner) -> None:
    reply = runner.put("a", code="#" * (4 << 20))
    assert (reply.status, reply.code) == (400, "Invalid")
    assert "larger than" in reply.json["error"]["message"]


def test_long_poll_ends_with_the_run_and_not_before(runner: Runner) -> None:
    runner.put("a", code="import time; time.sleep(0.4)")
    begin = time.monotonic()
    reply = runner.get("a", wait="30s")
    assert reply.json["state"] == "Finished"
    assert time.monotonic() - begin < 25


def test_long_poll_ends_when_the_wait_passes(runner: Runner) -> None:
    runner.put("a", code=LONG)
    begin = time.monotonic()
    reply = runner.get("a", wait="300ms")
    assert reply.json["state"] == "Running"
    assert time.monotonic() - begin >= 0.3


def test_list_names_every_execution_without_output(runner: Runner) -> None:
    runner.run("a", "print(1)")
    runner.put("b", code=LONG)
    reply = runner.call("GET", "/v1/executions").json
    assert [(e["uid"], e["attempt"]) for e in reply["executions"]] == [("a", 1), ("b", 1)]
    assert all("output" not in e for e in reply["executions"])
    assert (reply["podUid"], reply["runnerVersion"]) == (POD_UID, "test")


def test_cancel_ends_the_run(runner: Runner) -> None:
    runner.put("a", code=LONG)
    wait_until(lambda: runner.stored("a", "stdout") == b"begun\n", "its start")
    reply = runner.cancel("a")
    assert reply.status == 202
    doc = runner.finish("a")
    assert doc["result"]["outcome"] == "Cancelled"
    assert doc["result"]["signal"] == "SIGTERM"
    assert "exitCode" not in doc["result"]
    assert runner.cancel("a").status == 200


def test_cancel_after_the_end_changes_nothing(runner: Runner) -> None:
    before = runner.run("a", "print(1)")
    assert runner.cancel("a").json == before


def test_stats_give_real_figures(runner: Runner) -> None:
    runner.put("a", code="open('f', 'wb').write(b'x' * 100_000)\n" + LONG, wait="200ms")
    figures = runner.call("GET", "/v1/stats").json
    assert figures["runningExecutions"] == ["a/1"]
    assert figures["cgroupVersion"] in (1, 2)
    assert figures["diskUsedBytes"] >= 100_000
    assert figures["processes"] >= 3


def test_two_runs_at_once_are_marked_shared(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--max-concurrent", "2") as runner:
        runner.put("a", code=LONG)
        assert runner.run("b", "print(2)")["usage"]["shared"] is True
        assert runner.put("c", code="1", wait="10s").status == 201
        runner.cancel("a")
        assert runner.finish("a")["usage"]["shared"] is True
        assert runner.run("d", "1")["usage"]["shared"] is False


def test_every_reply_carries_the_runners_time(runner: Runner) -> None:
    for reply in (runner.send("GET", "/healthz", b"", {}), runner.call("GET", "/v1/executions")):
        assert abs(int(reply.headers["soulbox-time"]) - time.time() * 1000) < 5000


def test_wrong_start_is_one_line_and_exit_code_two(binary: Path, base: Path) -> None:
    for arguments, env, want in (
        (["serve"], {}, "SOULBOX_PUBLIC_KEYS"),
        (["serve"], {"SOULBOX_PUBLIC_KEYS": Signer().env}, "SOULBOX_POD_UID"),
        (["serve", "--nope"], {}, "nope"),
        (["serve", "x"], {}, "unexpected argument"),
        (["install"], {}, "one directory"),
        ([], {}, "usage"),
    ):
        done = subprocess.run(
            [binary, *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done
        assert want in done.stderr


def test_install_copies_the_binary(binary: Path, base: Path) -> None:
    subprocess.run([binary, "install", base], check=True)
    copy = base / "soulbox-runner"
    assert copy.read_bytes() == binary.read_bytes()
    assert copy.stat().st_mode & 0o7777 == 0o555
    version = subprocess.run([copy, "version"], check=True, capture_output=True, text=True)
    assert version.stdout == "test\n"


def test_port_that_is_taken_ends_the_start(runner: Runner, binary: Path, base: Path) -> None:
    env = {"SOULBOX_PUBLIC_KEYS": Signer().env, "SOULBOX_POD_UID": POD_UID}
    flags = ["--listen", f"127.0.0.1:{runner.port}"]
    done = subprocess.run(
        [binary, "serve", *flags], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "address already in use" in done.stderr


def test_golden_requests_are_accepted(runner: Runner) -> None:
    golden = Path(__file__).resolve().parents[2] / "runner" / "testdata" / "wire"
    for name, want in (("minimal", "42\n"), ("full", "42\n"), ("handler", "")):
        body = json.loads((golden / f"put-request.{name}.json").read_text())
        doc = runner.run(name, **body)
        assert text(doc["output"]["stdout"]) == want, doc
    returned = json.loads(base64.b64decode(doc["resultFile"]["content"]))
    assert returned == json.loads(body["input"])
