"""`soulbox run` as a process, against an API server and an operator at HTTP level: what no real
one does on demand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.builders import make_execution, make_sandbox
from tests.support.fake_api import FakeApi, Refusal
from tests.support.fake_api import serving as serving_api
from tests.unit.kube.scripted import write_kubeconfig

pytestmark = pytest.mark.slow

NAMESPACE = "team-a"


class Operator:
    """Gives one stream a line at a time, for as long as the Execution is not over."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.url = ""
        self.endless = True

    async def handle(self, request: web.Request) -> web.Response:
        (name,) = self.api.named("executions")
        execution = self.api.get("executions", NAMESPACE, name)
        is_over = "completionTime" in execution["status"]
        if execution["spec"].get("cancel") and not is_over:
            status = {"state": "Cancelled", "reason": "Cancelled", "message": "as asked"}
            self.api.edit(
                "executions", NAMESPACE, name, {"status": {**status, "completionTime": "x"}}
            )
            is_over = True
        lines = b"" if request.match_info["stream"] == "stderr" or is_over else b"line\n"
        state = "Finished" if is_over else "Running"
        await asyncio.sleep(0.01)
        return web.Response(body=lines, headers={"Soulbox-State": state})


@asynccontextmanager
async def running(
    folder: Path, *options: str, logs_of: str = "", call: str = ""
) -> AsyncIterator[tuple[FakeApi, asyncio.subprocess.Process]]:
    async with serving_api() as api:
        api.add("sandboxes", make_sandbox("box", NAMESPACE))
        operator = Operator(api)
        application = web.Application()
        path = "/v1/namespaces/{namespace}/executions/{name}/output/{stream}"
        application.router.add_get(path, operator.handle)
        if logs_of:
            api.add("executions", make_execution(logs_of, NAMESPACE))
            api.edit("executions", NAMESPACE, logs_of, {"status": {"state": "Running"}})
        command = ("logs", logs_of, "-f") if logs_of else ("call", call) if call else None
        if call:
            api.add("functions", {"metadata": {"name": call, "namespace": NAMESPACE}, "spec": {}})
        job = folder / "job.py"
        job.write_text("print('never run')\n")
        async with TestServer(application, host="127.0.0.1") as server:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "soulbox"),
                *(command or ("run", str(job), "--sandbox", "box")),
                "-n", NAMESPACE,
                "--kubeconfig", write_kubeconfig(folder, api.url, token="t"),
                "--operator-url", f"http://127.0.0.1:{server.port}", *options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            )  # fmt: skip
            try:
                yield api, process
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()


async def test_first_ctrl_c_cancels_and_waits_for_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as (api, process):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"line\n"
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        (name,) = api.named("executions")
        assert api.get("executions", NAMESPACE, name)["spec"]["cancel"] is True
    assert process.returncode == 130
    assert set(out.splitlines()) <= {b"line"}
    assert b"cancelling; press" in err
    assert b"Cancelled/Cancelled: as asked" in err


async def test_ctrl_c_cancels_a_call_whose_output_is_all_on_stderr(tmp_path: Path) -> None:
    async with running(tmp_path, "-f", call="resize") as (api, process):
        assert process.stderr is not None
        assert await process.stderr.readline() == b"line\n"
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        (name,) = api.named("executions")
        found = api.get("executions", NAMESPACE, name)["spec"]
    assert found == {"functionRef": {"name": "resize"}, "cancel": True}
    assert (process.returncode, out) == (130, b"")
    assert b"Cancelled/Cancelled: as asked" in err


async def test_cancel_that_is_refused_says_what_to_do_and_leaves(tmp_path: Path) -> None:
    async with running(tmp_path) as (api, process):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"line\n"
        api.refuse("patch", "executions", Refusal(403, "Forbidden", "may not"), times=9)
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"could not be cancelled" in err
    assert b"kubectl delete execution job-" in err


async def test_reader_that_leaves_cancels_the_run(tmp_path: Path) -> None:
    async with running(tmp_path) as (api, process):
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.readline() == b"line\n"
        process.stdout._transport.close()  # type: ignore[attr-defined]
        err = await process.stderr.read()
        await process.wait()
        (name,) = api.named("executions")
        assert api.get("executions", NAMESPACE, name)["spec"]["cancel"] is True
    assert process.returncode == 141
    assert b"Traceback" not in err


async def test_run_whose_object_is_deleted_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path) as (api, process):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"line\n"
        (name,) = api.named("executions")
        del api.objects["executions", NAMESPACE, name]
        # The operator knows none either, now.
        _, err = await process.communicate()
    assert process.returncode == 125
    assert f"Execution {name} was deleted before its end was seen".encode() in err


async def test_stdout_holds_the_object_alone_where_files_are_written(tmp_path: Path) -> None:
    results = tmp_path / "results"
    options = ("-o", "json", "--capture", "*.txt", "--out", str(results))
    async with running(tmp_path, *options) as (api, process):
        async with asyncio.timeout(60):
            while not api.named("executions"):  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
        (name,) = api.named("executions")
        file = {
            "path": "a.txt",
            "size": 1,
            "content": "x",
            "sha256": hashlib.sha256(b"x").hexdigest(),
        }
        status = {
            "state": "Completed",
            "reason": "Completed",
            "completionTime": "2026-01-02T03:04:07Z",
            "output": {"files": [file]},
        }
        api.edit("executions", NAMESPACE, name, {"status": status})
        out, err = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["metadata"]["name"] == name
    assert f"soulbox: {results}/a.txt  1 bytes\n".encode() in err
    assert (results / "a.txt").read_text() == "x"


async def test_reader_of_logs_that_leaves_ends_them_quietly(tmp_path: Path) -> None:
    async with running(tmp_path, logs_of="busy") as (api, process):
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.readline() == b"line\n"
        process.stdout._transport.close()  # type: ignore[attr-defined]
        err = await process.stderr.read()
        await process.wait()
        assert "cancel" not in api.get("executions", NAMESPACE, "busy")["spec"]
    assert (process.returncode, err) == (141, b"")


async def test_logs_of_what_is_deleted_say_so(tmp_path: Path) -> None:
    async with running(tmp_path, logs_of="busy") as (api, process):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"line\n"
        del api.objects["executions", NAMESPACE, "busy"]
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err == b"soulbox: Execution busy was deleted before its end was seen\n"
