"""What the runner is asked to run: code from where it lies, environment, terms."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from soulbox.model.handlers import Handler
from soulbox.model.keys import CODE_SHA256_ANNOTATION, DISPATCHED_ANNOTATION, READABLE_LABEL
from soulbox.model.runs import StartRun
from soulbox.model.specs import MAX_CODE_BYTES, EnvVar, FileEncoding, InputFile
from soulbox.model.states import HandlerLanguage
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench

SOURCE = "print('from afar')"
ENCODED = base64.b64encode(SOURCE.encode()).decode()
READABLE = {READABLE_LABEL: "true"}


def config_map(**content: Any) -> dict[str, Any]:
    """ConfigMap `code`."""
    return {"metadata": {"name": "code", "namespace": NAMESPACE}, **content}


def secret(labels: dict[str, str] | None = None, **content: Any) -> dict[str, Any]:
    """Secret `code`."""
    metadata = {"name": "code", "namespace": NAMESPACE, "labels": labels or {}}
    return {"metadata": metadata, **content}


def code_from(kind: str) -> dict[str, Any]:
    """spec.codeFrom key `main`."""
    return {"code": None, "codeFrom": {f"{kind}KeyRef": {"name": "code", "key": "main"}}}


async def requested(bench: Bench, **spec: Any) -> StartRun:
    """What the runner was asked for an Execution of that spec."""
    uid = bench.add_execution(**spec)
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed", bench.execution()["status"]
    return bench.runner.requests[uid]


async def test_everything_that_is_asked_for_gets_there(bench: Bench) -> None:
    await bench.running_sandbox()
    request = await requested(
        bench,
        code="print(input())",
        files=[{"path": "a/b.txt", "content": "aGk=", "encoding": "base64"}],
        args=["-v", "x"],
        stdin="hello",
        timeoutSeconds=7,
    )
    assert request.command == ("python3",)
    assert request.extension == ".py"
    assert (request.code, request.code_encoding) == ("print(input())", FileEncoding.UTF8)
    assert request.files == (
        InputFile(path="a/b.txt", content="aGk=", encoding=FileEncoding.BASE64),
    )
    assert (request.args, request.stdin) == (("-v", "x"), "hello")
    assert request.timeout_seconds == 7
    assert request.output_limit_bytes == 10 * 2**20
    assert request.max_processes > 0
    assert request.max_file_size_bytes == 2**40


async def test_sandbox_s_time_out_and_limits_count_before_the_class_s(bench: Bench) -> None:
    await bench.running_sandbox(defaultTimeoutSeconds=9, resources={"disk": "512Mi"})
    request = await requested(bench)
    assert request.timeout_seconds == 9
    assert request.max_file_size_bytes == 2**40, "a hole takes no disk"


async def test_environment_of_the_execution_wins_over_the_sandbox_s_over_the_class_s(
    bench: Bench,
) -> None:
    bench.add_class(env=[{"name": "A", "value": "class"}, {"name": "B", "value": "class"}])
    bench.api.add(
        "sandboxes",
        {
            "metadata": {"name": "box", "namespace": NAMESPACE},
            "spec": {
                "className": "python",
                "env": [{"name": "B", "value": "box"}, {"name": "C", "value": "box"}],
            },
        },
    )
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    request = await requested(bench, env=[{"name": "C", "value": "run"}])
    assert set(request.env) == {
        EnvVar(name="A", value="class"),
        EnvVar(name="B", value="box"),
        EnvVar(name="C", value="run"),
    }


SOURCES: dict[str, tuple[str, str, dict[str, Any], str, FileEncoding]] = {
    "a ConfigMap": (
        "configmaps",
        "configMap",
        config_map(data={"main": SOURCE}),
        SOURCE,
        FileEncoding.UTF8,
    ),
    "binary data of a ConfigMap": (
        "configmaps",
        "configMap",
        config_map(binaryData={"main": ENCODED}),
        ENCODED,
        FileEncoding.BASE64,
    ),
    "a Secret that may be read": (
        "secrets",
        "secret",
        secret(READABLE, data={"main": ENCODED}),
        ENCODED,
        FileEncoding.BASE64,
    ),
}


@pytest.mark.parametrize("name", SOURCES)
async def test_code_comes_from(bench: Bench, name: str) -> None:
    plural, kind, manifest, want_code, want_encoding = SOURCES[name]
    await bench.running_sandbox()
    bench.api.add(plural, manifest)
    request = await requested(bench, **code_from(kind))
    assert (request.code, request.code_encoding) == (want_code, want_encoding)
    # All that is mirrored of it is its hash.
    annotations = bench.execution()["metadata"]["annotations"]
    assert annotations[CODE_SHA256_ANNOTATION] == hashlib.sha256(SOURCE.encode()).hexdigest()


TOO_LARGE = "x" * (MAX_CODE_BYTES + 1)
MISSING: dict[str, tuple[str, str, dict[str, Any] | None, str]] = {
    "no ConfigMap": ("configmaps", "configMap", None, 'ConfigMap "code" does not exist'),
    "no Secret": ("secrets", "secret", None, 'there is no Secret "code" with the label'),
    "a Secret without our label": (
        "secrets",
        "secret",
        secret(data={"main": ENCODED}),
        'there is no Secret "code" with the label soulbox.dev/readable: "true"',
    ),
    "a Secret whose label says no": (
        "secrets",
        "secret",
        secret({READABLE_LABEL: "false"}, data={"main": ENCODED}),
        'there is no Secret "code" with the label',
    ),
    "no such key": (
        "configmaps",
        "configMap",
        config_map(data={"other": "1"}),
        'ConfigMap "code" has no key "main"',
    ),
    "nothing in it": ("configmaps", "configMap", config_map(), "has no key"),
    "text that is too large": (
        "configmaps",
        "configMap",
        config_map(data={"main": TOO_LARGE}),
        'ConfigMap "code": its key "main" has 262145 bytes; 262144 are allowed',
    ),
    "a secret that is too large": (
        "secrets",
        "secret",
        secret(READABLE, data={"main": base64.b64encode(TOO_LARGE.encode()).decode()}),
        "has 262145 bytes",
    ),
}


@pytest.mark.parametrize("name", MISSING)
async def test_code_that_cannot_be_read_is_waited_for_and_named(bench: Bench, name: str) -> None:
    plural, kind, manifest, want_words = MISSING[name]
    await bench.running_sandbox()
    if manifest is not None:
        bench.api.add(plural, manifest)
    bench.add_execution(**code_from(kind))
    await bench.settle()
    await bench.elapse(3)
    status = bench.execution()["status"]
    assert status["state"] == "Queued"
    assert want_words in status["message"]
    for _ in range(10):
        await bench.elapse(6)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert want_words in status["message"]
    assert bench.runner.said("start") == []


async def test_code_that_comes_late_is_run(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.add_execution(**code_from("configMap"))
    await bench.settle()
    await bench.elapse(3)
    bench.api.add("configmaps", config_map(data={"main": SOURCE}))
    await bench.elapse(6)
    assert bench.execution()["status"]["state"] == "Completed"


async def test_code_that_may_not_be_read_names_what_the_api_server_said(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.api.refuse("get", "secrets", Refusal(403, "Forbidden", "may not"), times=9)
    bench.add_execution(**code_from("secret"))
    await bench.settle()
    await bench.elapse(3)
    assert 'Secret "code" cannot be read: may not' in bench.execution()["status"]["message"]


async def test_code_that_went_away_after_a_crash_ends_it_without_a_start(bench: Bench) -> None:
    # Handed over, the operator died before it asked, and the ConfigMap is gone since.
    await bench.running_sandbox()
    bench.add_execution(**code_from("configMap"))
    patch = {"annotations": {DISPATCHED_ANNOTATION: f"{bench.pod_uid}/1"}}
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": patch})
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "Lost")
    assert "the code was not started" in status["message"]
    assert bench.runner.said("start") == []


async def test_language_that_the_class_does_not_have_is_named(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.add_execution(language="perl")
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert 'no interpreter for "perl"; it has: python' in status["message"]


async def test_sandbox_that_is_malformed_is_waited_for(bench: Bench) -> None:
    bench.add_class()
    bad = {"metadata": {"name": "box", "namespace": NAMESPACE}, "spec": {"className": 7}}
    bench.api.add("sandboxes", bad)
    bench.add_execution()
    await bench.settle()
    await bench.elapse(3)
    status = bench.execution()["status"]
    assert status["state"] == "Queued"
    assert 'Waiting for Sandbox "box" (Error): spec.className' in status["message"]
    assert bench.runner.said("start") == []


INPUTS: dict[str, Any] = {
    "an object": {"url": "https://a.test", "width": 3.5, "none": None},
    "a list": [1, None, "é"],
    "a text": "é",
}


@pytest.mark.parametrize("given", INPUTS.values(), ids=INPUTS)
async def test_input_gets_there_as_json_and_a_handler_with_its_language(
    bench: Bench, given: Any
) -> None:
    await bench.running_sandbox()
    request = await requested(bench, input=given, handler="main")
    assert request.input is not None
    assert json.loads(request.input) == given
    assert request.handler == Handler(name="main", language=HandlerLanguage.PYTHON)


async def test_program_without_input_is_given_none(bench: Bench) -> None:
    await bench.running_sandbox()
    request = await requested(bench)
    assert (request.input, request.handler) == (None, None)


@pytest.mark.parametrize(("field", "value"), [("input", {"a": 1}), ("handler", "main")])
async def test_runner_of_an_earlier_release_is_asked_for_nothing_that_it_does_not_know(
    bench: Bench, field: str, value: Any
) -> None:
    bench.runner.features = frozenset()
    await bench.running_sandbox()
    uid = bench.add_execution(**{field: value})
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert f"spec.{field}: the runner in its pod is of an earlier release" in status["message"]
    assert uid not in bench.runner.requests
