"""`soulbox doctor`, against a server in the API server's place."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from soulbox.app.cli import main
from soulbox.app.commands.doctor import Output, _examine
from soulbox.box.signing import new_seed
from soulbox.kube.release import load_release
from soulbox.pure.doctor.finding import Finding, worst
from tests.support.builders import make_sandbox_class
from tests.unit.kube.scripted import write_kubeconfig

pytestmark = pytest.mark.slow

SetDatabase = Callable[[str | None], None]
Doctor = Callable[..., Awaitable[tuple[int, str, str]]]
NOBODY = "postgresql://soulbox:s3cret@127.0.0.1:1/soulbox"
KEY = "/api/v1/namespaces/soulbox-system/secrets/soulbox-signing-key"
CONFIGZ = "/api/v1/nodes/one/proxy/configz"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/soulbox-system/leases/soulbox-operator"
OURS = (
    "/apis/soulbox.dev/v1alpha1/executions",
    "/apis/soulbox.dev/v1alpha1/sandboxes",
    "/api/v1/pods",
)
NODE_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/one"


def healthy_cluster() -> dict[str, Any]:
    """Path to what a cluster in order answers; an int is a status code."""
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.4"},
        REVIEWS: {"status": {"allowed": True}},
        "/apis/soulbox.dev/v1alpha1/sandboxclasses": {"items": [make_sandbox_class()]},
        "/api/v1/nodes": {
            "items": [
                {
                    "metadata": {"name": "one"},
                    "status": {
                        "conditions": [{"type": "Ready", "status": "True"}],
                        "images": [{"names": ["docker.io/soulbox/python:dev"]}],
                    },
                }
            ]
        },
        NODE_LEASE: {"spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}},
        CONFIGZ: {"kubeletconfig": {"podPidsLimit": 1024}},
        KEY: {"data": {"seed": base64.b64encode(new_seed()).decode()}},
        f"{ADMISSION}/validatingadmissionpolicies": {
            "items": load_release().of_kind("ValidatingAdmissionPolicy")
        },
        f"{ADMISSION}/validatingadmissionpolicybindings": {
            "items": load_release().of_kind("ValidatingAdmissionPolicyBinding")
        },
    }
    for path in OURS:
        answers[path] = {"items": []}
    for crd in load_release().of_kind("CustomResourceDefinition"):
        established = {"conditions": [{"type": "Established", "status": "True"}]}
        answers[f"{CRDS}/{crd['metadata']['name']}"] = {**crd, "status": established}
    return answers


@asynccontextmanager
async def cluster(answers: dict[str, Any], folder: Path) -> AsyncIterator[str]:
    """A kubeconfig of such a cluster."""

    async def handle(request: web.Request) -> web.Response:
        answer = answers.get(request.path, 404)
        if isinstance(answer, int):
            words = {"message": f"{request.path} says {answer}", "reason": "Test"}
            return web.json_response(words, status=answer)
        return web.json_response(answer)

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(application, host="127.0.0.1") as server:
        yield write_kubeconfig(folder, f"http://127.0.0.1:{server.port}", token="t")


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Sets the database that the doctor reads of the environment, and nothing else."""
    for name in tuple(os.environ):
        if name.startswith("SOULBOX_"):
            monkeypatch.delenv(name)

    def set_database(dsn: str | None) -> None:
        if dsn is not None:
            monkeypatch.setenv("SOULBOX_DSN", dsn)

    return set_database


@pytest.fixture
def doctor(
    settings_of: SetDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """Exit code, stdout and stderr of the command, with a database that is not there."""
    settings_of(NOBODY)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["soulbox", "doctor", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    async def examine(
        answers: dict[str, Any], folder: Path, *arguments: str
    ) -> tuple[int, str, str]:
        async with cluster(answers, folder) as kubeconfig:
            # It has a loop of its own.
            code = await asyncio.to_thread(run, "--kubeconfig", kubeconfig, *arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return examine


async def findings(answers: dict[str, Any], folder: Path) -> dict[str, list[Finding]]:
    """The findings of each check, in this process."""
    async with cluster(answers, folder) as kubeconfig:
        made = await _examine(None, Path(kubeconfig), False, Output.JSON)
    found: dict[str, list[Finding]] = {}
    for finding in made:
        found.setdefault(finding.check, []).append(finding)
    return found


async def test_cluster_in_order_fails_for_its_database_alone(
    tmp_path: Path, doctor: Doctor
) -> None:
    code, out, err = await doctor(healthy_cluster(), tmp_path)
    assert code == 1
    assert err == ""
    lines = out.splitlines()
    failed = [line for line in lines if line.startswith("FAIL")]
    assert [line.split()[1] for line in failed] == ["database"]
    assert "OK    rights           system:serviceaccount:soulbox-system:soulbox-operator" in out
    assert "at most 1024 processes per pod" in out
    assert lines[-1].endswith("1 to fix")
    assert "s3cret" not in out


async def test_json_holds_the_worst_verdict_and_every_finding(
    tmp_path: Path, doctor: Doctor
) -> None:
    code, out, _ = await doctor(healthy_cluster(), tmp_path, "-o", "json")
    document = json.loads(out)
    assert (code, document["verdict"]) == (1, "FAIL")
    checks = [finding["check"] for finding in document["findings"]]
    assert checks == [
        *("settings", "cluster", "clock", "rights", "crds", "admission", "classes", "nodes"),
        *("signing-key", "leader", "records", "network", "database"),
    ]
    assert all(f.keys() == {"check", "verdict", "found", "remedy"} for f in document["findings"])


async def test_person_without_rights_is_told_what_could_not_be_looked_at(
    tmp_path: Path, settings_of: SetDatabase
) -> None:
    settings_of(NOBODY)
    denied = {"/version": healthy_cluster()["/version"]} | dict.fromkeys(
        [path for path in healthy_cluster() if path != "/version"] + [LEASE], 403
    )
    found = await findings(denied, tmp_path)
    for check in (
        "rights",
        "crds",
        "admission",
        "classes",
        "nodes",
        "signing-key",
        "leader",
        "records",
    ):
        assert found[check][0].verdict == "WARN", found[check]
        assert "could not be checked" in found[check][0].found
        assert "administrator" in found[check][0].remedy


async def test_empty_cluster_lacks_everything(tmp_path: Path, settings_of: SetDatabase) -> None:
    settings_of(NOBODY)
    answers = {
        "/version": {"major": "1", "minor": "29", "gitVersion": "v1.29.0"},
        REVIEWS: {"status": {"allowed": False}},
        "/api/v1/nodes": {"items": []},
        f"{ADMISSION}/validatingadmissionpolicies": {"items": []},
        f"{ADMISSION}/validatingadmissionpolicybindings": {"items": []},
    }
    found = await findings(answers, tmp_path)
    for check in ("cluster", "rights", "crds", "admission", "classes", "nodes"):
        assert worst(found[check]) == "FAIL", found[check]
    assert found["signing-key"][0].found == "there is none yet"
    assert found["leader"][0].found == "no operator has ever led here"


async def test_what_is_wrong_with_a_cluster_is_named(
    tmp_path: Path, settings_of: SetDatabase
) -> None:
    settings_of(NOBODY)
    answers = healthy_cluster()
    name = "executions.soulbox.dev"
    older = copy.deepcopy(answers[f"{CRDS}/{name}"])
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["cancel"]
    answers |= {
        f"{CRDS}/{name}": older,
        KEY: {"data": {"seed": "bm8="}},
        CONFIGZ: {"kubeletconfig": {"podPidsLimit": -1}},
        "/apis/soulbox.dev/v1alpha1/sandboxclasses": {
            "items": [
                make_sandbox_class(image="elsewhere:1", runtimeClassName="gvisor"),
                make_sandbox_class("broken", interpreters={}),
            ]
        },
        f"{ADMISSION}/validatingadmissionpolicybindings": {"items": []},
        LEASE: {
            "spec": {
                "holderIdentity": "pod-a",
                "renewTime": "2026-01-02T03:04:05.000000Z",
                "leaseDurationSeconds": 15,
            }
        },
    }
    found = await findings(answers, tmp_path)
    said = " ".join(finding.found for made in found.values() for finding in made)
    for words in (
        f"{name} is older than this release: it lacks spec.cancel",
        'Secret soulbox-system/soulbox-signing-key has no valid "seed"',
        "one: a pod may start any number of processes",
        "image elsewhere:1 is on 0 of 1 nodes",
        "RuntimeClass gvisor does not exist",
        "broken:",
        "not in force: soulbox-cause, soulbox-names, soulbox-pods, soulbox-quantities, "
        "soulbox-spender, soulbox-user",
        "pod-a leads, last renewed",
        "it is dead and nobody took over",
    ):
        assert words in said


async def test_settings_without_a_database_do_not_hide_the_cluster(
    tmp_path: Path, settings_of: SetDatabase
) -> None:
    settings_of(None)
    found = await findings(healthy_cluster(), tmp_path)
    assert found["settings"][0].verdict == "FAIL"
    assert "no database is set" in found["settings"][0].found
    assert found["cluster"][0].verdict == "OK"
    assert found["database"][0].found == "not checked: the settings name none"


async def test_api_server_that_does_not_answer_does_not_hide_the_database(
    tmp_path: Path, settings_of: SetDatabase
) -> None:
    settings_of(NOBODY)
    answers = {"/version": 503}
    found = await findings(answers, tmp_path)
    assert found["cluster"][0].verdict == "FAIL"
    assert "does not answer" in found["cluster"][0].found
    assert found["database"][0].verdict == "FAIL"
    assert "rights" not in found
