"""The operator's own client against the real runner."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soulbox.box.client import RunnerClient
from soulbox.box.signing import SigningKey
from soulbox.box.transport import PodAddress, open_session
from soulbox.kinds.execution.crd import GLOB_PATTERN
from soulbox.model.errors import RunnerRefused
from soulbox.model.handlers import Handler
from soulbox.model.runs import StartRun
from soulbox.model.specs import EnvVar, FileEncoding, InputFile
from soulbox.model.states import (
    HandlerLanguage,
    ResultProblem,
    RunnerFeature,
    RunOutcome,
    RunState,
)
from tests.support.patience import PATIENCE_SECONDS
from tests.support.runner_client import POD_UID, Runner

UID = "6f1c2a34-8a51-4f0e-9a3c-2f6d0b7c9e11"


@pytest.fixture
def pod(runner: Runner) -> PodAddress:
    return PodAddress(POD_UID, runner.host, runner.port)


@pytest.fixture
def key(runner: Runner) -> SigningKey:
    return SigningKey.from_seed(runner.signer.key.private_bytes_raw())


@pytest.fixture
async def client(key: SigningKey) -> AsyncIterator[RunnerClient]:
    async with open_session() as session:
        yield RunnerClient(session, key, lambda: datetime.now(UTC))


def _request(code: str, **changes: Any) -> StartRun:
    values: dict[str, Any] = {
        "command": ("python3", "-I"),
        "extension": ".py",
        "code": code,
        "timeout_seconds": 30,
        "output_limit_bytes": 4_194_304,
        "max_processes": 128,
        "max_open_files": 1024,
        "max_file_size_bytes": 2**30,
    } | changes
    return StartRun(**values)


async def test_run_from_start_to_release(client: RunnerClient, pod: PodAddress) -> None:
    code = "import os, sys; print(sys.stdin.read(), sys.argv[1], os.environ['A'], open('f').read())"
    request = _request(
        code,
        args=("Zoë",),
        stdin="in",
        env=(EnvVar(name="A", value="1"),),
        files=(InputFile(path="f", content="eA==", encoding=FileEncoding.BASE64),),
    )
    assert await client.healthy(pod)

    run = await client.start(pod, UID, 1, request, wait_seconds=30)

    assert run.state is RunState.FINISHED, run
    assert run.result is not None
    assert (run.result.outcome, run.result.exit_code) == (RunOutcome.EXITED, 0)
    assert run.stdout is not None
    assert run.stdout.head.decode() == "in Zoë 1 x\n"
    assert run.stdout.is_whole
    assert run.usage is not None
    assert run.usage.cpu_time_milliseconds is not None
    assert await client.start(pod, UID, 1, request) == run  # asked again: the same
    assert await client.get(pod, UID, 1) == run
    listed = await client.list(pod)
    assert [(each.uid, each.attempt) for each in listed.executions] == [(UID, 1)]
    await client.release(pod, UID, 1)
    await client.release(pod, UID, 1)
    with pytest.raises(RunnerRefused) as caught:
        await client.start(pod, UID, 1, request)
    assert (caught.value.status, caught.value.code) == (410, "Released")


async def test_input_goes_in_and_a_result_comes_out(client: RunnerClient, pod: PodAddress) -> None:
    assert (await client.list(pod)).features == set(RunnerFeature)
    handler = Handler(name="main", language=HandlerLanguage.PYTHON)
    given = json.dumps({"größe": ["é" * 120_000, None]}, ensure_ascii=False)
    code = "async def main(input):\n    return [input['größe'][0][:5_000], 2.50]"
    request = _request(code, input=given, handler=handler)

    run = await client.start(pod, UID, 1, request, wait_seconds=30)

    assert run.result is not None
    assert run.result.exit_code == 0, run.stderr
    assert run.result_file is not None
    assert run.result_file.problem is None
    assert run.result_file.content.decode() == f'["{"é" * 5_000}", 2.5]'
    assert await client.get(pod, UID, 1) == run
    [listed] = (await client.list(pod)).executions
    assert listed.result_file is None
    code = "def main(input):\n    return 'x' * 65_535"
    run = await client.start(pod, UID, 2, _request(code, handler=handler), wait_seconds=30)
    assert run.result_file is not None
    assert run.result_file.problem is ResultProblem.TOO_LARGE
    assert run.result_file.size_bytes == 65_537


async def test_output_longer_than_a_reply_is_read_whole(
    client: RunnerClient, pod: PodAddress
) -> None:
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 12_000)"
    run = await client.start(pod, UID, 1, _request(code), wait_seconds=30)
    assert run.stdout is not None
    assert run.stdout.size_bytes == 3_072_000
    assert not run.stdout.is_whole

    parts = [part async for part in client.read_output(pod, UID, 1, "stdout")]

    assert b"".join(parts) == bytes(range(256)) * 12_000
    rest = [part async for part in client.read_output(pod, UID, 1, "stdout", 3_071_999)]
    assert rest == [b"\xff"]
    assert [part async for part in client.read_output(pod, UID, 1, "stderr")] == []


async def test_running_run_is_cancelled(client: RunnerClient, pod: PodAddress) -> None:
    run = await client.start(pod, UID, 1, _request("import time; time.sleep(600)"))
    assert run.state in (RunState.ACCEPTED, RunState.RUNNING)
    with pytest.raises(RunnerRefused) as caught:
        await client.start(pod, UID, 2, _request("print(1)"))
    assert (caught.value.status, caught.value.code) == (429, "Busy")
    with pytest.raises(RunnerRefused) as caught:
        await client.release(pod, UID, 1)
    assert caught.value.code == "Running"

    await client.cancel(pod, UID, 1)

    run = await client.get(pod, UID, 1, wait_seconds=30)
    assert run.result is not None
    assert run.result.outcome is RunOutcome.CANCELLED


async def test_run_that_cannot_start_says_so(client: RunnerClient, pod: PodAddress) -> None:
    run = await client.start(
        pod, UID, 1, _request("", command=("no-such-program",)), wait_seconds=30
    )
    assert run.result is not None
    assert run.result.outcome is RunOutcome.START_FAILED
    assert run.result.message


async def test_unknown_run_and_another_body_are_refused(
    client: RunnerClient, pod: PodAddress
) -> None:
    for call in (client.get, client.cancel, client.release):
        with pytest.raises(RunnerRefused) as caught:
            await call(pod, UID, 1)
        assert (caught.value.status, caught.value.code) == (404, "NotFound")
    await client.start(pod, UID, 1, _request("print(1)"), wait_seconds=30)
    with pytest.raises(RunnerRefused) as caught:
        await client.start(pod, UID, 1, _request("print(2)"))
    assert (caught.value.status, caught.value.code) == (409, "Conflict")


async def test_clock_an_hour_off_is_corrected(key: SigningKey, pod: PodAddress) -> None:
    counted: list[str] = []
    async with open_session() as session:
        client = RunnerClient(
            session, key, lambda: datetime.now(UTC) - timedelta(hours=1), counted.append
        )
        await client.stats(pod)
        await client.stats(pod)
    assert counted == ["ClockSkew"]


async def test_another_key_and_another_pod_are_refused(
    client: RunnerClient, key: SigningKey, pod: PodAddress
) -> None:
    with pytest.raises(RunnerRefused) as caught:
        await client.stats(PodAddress("another", pod.ip, pod.port))
    assert (caught.value.status, caught.value.code) == (401, "Unauthorized")
    async with open_session() as session:
        stranger = RunnerClient(session, SigningKey.from_seed(bytes(32)), lambda: datetime.now(UTC))
        with pytest.raises(RunnerRefused) as caught:
            await stranger.stats(pod)
    assert (caught.value.status, caught.value.code) == (401, "UnknownKey")


async def test_stats_and_shutdown(client: RunnerClient, pod: PodAddress, runner: Runner) -> None:
    stats = await client.stats(pod)
    assert stats.running_executions == ()
    await client.shutdown(pod)
    assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert not await client.healthy(pod)


ODD_NAMES = [
    "plain.txt", "with space", "per%41cent%2Fed", "que?ry=1&x#y", "new\nline", "tab\t",
    "ünï/cö de", "...", "a+b;c,d", "\x01\x7f", "back\\slash", "x" * 255,
]  # fmt: skip


async def test_captured_files_are_read_whatever_they_are_called(
    client: RunnerClient, pod: PodAddress
) -> None:
    code = (
        "import os, json, sys\n"
        "for name in json.load(sys.stdin):\n"
        "    os.makedirs(os.path.dirname('got/' + name), exist_ok=True)\n"
        "    open('got/' + name, 'w').write(name)\n"
    )
    request = _request(code, stdin=json.dumps(ODD_NAMES), capture_files=("got/**",))
    run = await client.start(pod, UID, 1, request, wait_seconds=30)
    assert run.result is not None
    assert run.result.exit_code == 0, run
    assert [file.path for file in run.files] == sorted(
        (f"got/{name}" for name in ODD_NAMES), key=str.encode
    )
    for file in run.files:
        parts = [part async for part in client.read_file(pod, UID, 1, file.path)]
        assert b"".join(parts).decode() == file.path.removeprefix("got/")
        assert file.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
    with pytest.raises(RunnerRefused) as caught:
        [part async for part in client.read_file(pod, UID, 1, "got/never")]
    assert caught.value.code == "NotFound"


GLOBS = [
    "*",
    "**",
    "a/**/b?.[a-z]",
    "[^x]*",
    "a]",
    "[a-cx]",
    "a*b*c",
    "{a,b}",
    "$(x)",
    "é*",
    "[[]x",
    "[a[]",
]


@pytest.mark.parametrize("glob", GLOBS)
async def test_globs_that_the_schema_takes_are_taken(
    client: RunnerClient, pod: PodAddress, glob: str
) -> None:
    assert re.fullmatch(GLOB_PATTERN, glob)
    run = await client.start(pod, UID, 1, _request("pass", capture_files=(glob,)), wait_seconds=30)
    assert run.state is RunState.FINISHED


REFUSED_GLOBS = ["[", "[]", "[a", "[a-]", "[-a]", "[^]", "a\\", "[a-b-c]", "[^-a]"]


@pytest.mark.parametrize("glob", REFUSED_GLOBS)
async def test_globs_that_the_runner_refuses_are_refused_by_the_schema_too(
    client: RunnerClient, pod: PodAddress, glob: str
) -> None:
    assert re.fullmatch(GLOB_PATTERN, glob) is None
    with pytest.raises(RunnerRefused) as caught:
        await client.start(pod, UID, 1, _request("pass", capture_files=(glob,)))
    assert caught.value.code == "Invalid"
