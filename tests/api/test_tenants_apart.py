"""One tenant tries everything on another, support/tenant_attacks.py, with the roles people have."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import Kubectl
from tests.support.tenant_attacks import HELD, TRIES, Try

pytestmark = pytest.mark.api

ROLES = {"mallory": "soulbox-edit", "eve": "edit"}
BODIES = {
    "PATCH": "application/merge-patch+json",
    "APPLY": "application/apply-patch+yaml",
    "POST": "application/json",
    "PUT": "application/json",
}


@contextmanager
def api_server(kubectl: Kubectl) -> Iterator[http.client.HTTPConnection]:
    """The API server as its administrator, who may act as anybody: without a process a call."""
    command = [kubectl.program, "--kubeconfig", kubectl.kubeconfig, "proxy", "--port=0",
               "--reject-paths="]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            found = re.search(r":(\d+)$", proxy.stdout.readline().strip())
            assert found is not None
            server = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
            with closing(server):
                yield server
        finally:
            proxy.kill()


def answer(
    server: http.client.HTTPConnection, user: str, one: Try, names: Mapping[str, str]
) -> str:
    """The message of a refusal, else the status."""

    def filled(text: str) -> str:
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    path = filled(one.path)
    path += "?" if "?" not in path else "&"
    path += "fieldManager=tests&fieldValidation=Strict&force=true" if one.method == "APPLY" else ""
    path += "fieldValidation=Strict" if one.method in ("POST", "PUT", "PATCH") else ""
    headers = {"Impersonate-User": user, "Impersonate-Group": "system:authenticated"}
    if one.method in BODIES:
        headers["Content-Type"] = BODIES[one.method]
    body = None if one.body is None else filled(json.dumps(one.body))
    server.request(one.method.replace("APPLY", "PATCH"), path, body, headers)
    reply = server.getresponse()
    content = reply.read()
    if reply.status < 300:
        return f"{reply.status}"
    try:
        return str(json.loads(content)["message"])
    except ValueError:
        return f"{reply.status} {content[:200]!r}"


def set_up(kubectl: Kubectl, mine: str, theirs: str) -> dict[str, str]:
    """Both tenants' objects; what stands for what in the attempts."""
    for user, role in ROLES.items():
        kubectl.run("create", "rolebinding", user, "--namespace", mine, "--clusterrole", role,
                    "--user", user)  # fmt: skip
    bobs = kubectl.create(make_sandbox("bobs", mine, user="bob", suspend=True))
    victim = kubectl.create(make_sandbox("victim", theirs, user="bob"))
    kubectl.create(make_sandbox("own", mine))
    kubectl.create(make_execution("own-run", mine, sandboxRef={"name": "own"}))
    kubectl.create(make_execution("victim-run", theirs, sandboxRef={"name": "victim"}))
    for kind, name, namespace in (
        *(("sandboxes", name, mine) for name in ("own", "bobs")),
        ("executions", "own-run", mine),
    ):
        kubectl.merge_patch(kind, name, namespace, {"metadata": {"finalizers": [HELD]}})
    kubectl.create(pod("ours", mine, bobs["metadata"]["uid"]))
    kubectl.create(pod("theirs", theirs, victim["metadata"]["uid"]))
    return {
        "mine": mine,
        "theirs": theirs,
        "uid": victim["metadata"]["uid"],
        "bobs": bobs["metadata"]["uid"],
    }


def pod(name: str, namespace: str, sandbox: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "finalizers": [HELD],
            "labels": {"soulbox.dev/sandbox-uid": sandbox, "soulbox.dev/incarnation": "1"},
            "annotations": {"soulbox.dev/sku": "gold", "soulbox.dev/user": "bob"},
        },
        "spec": {
            "nodeSelector": {"nowhere": "true"},
            "containers": [{"name": "runner", "image": "none"}],
        },
    }


@pytest.fixture
def theirs(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    name = f"{namespace}-b"
    kubectl.run("create", "namespace", name)
    yield name
    kubectl.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def let_go(kubectl: Kubectl, mine: str, theirs: str) -> None:
    """The finalizers that an operator would take off."""
    for kind, name, namespace in (
        ("sandboxes", "own", mine), ("sandboxes", "bobs", mine), ("executions", "own-run", mine),
        ("pods", "ours", mine), ("pods", "theirs", theirs),
    ):  # fmt: skip
        kubectl.merge_patch(kind, name, namespace, {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("user", ROLES)
def test_c_one_tenant_is_refused_everything_of_the_other(
    user: str, kubectl: Kubectl, namespace: str, theirs: str
) -> None:
    names = set_up(kubectl, namespace, theirs)
    try:
        with api_server(kubectl) as server:
            found = {name: answer(server, user, one, names) for name, one in TRIES.items()}
        wanted = {name: one.words(ROLES[user]) for name, one in TRIES.items()}
        assert {k: v for k, v in found.items() if v.isdigit() or wanted[k] not in v} == {}
        # Nothing of it came to anything.
        for kind, name, place in (
            ("sandbox", "victim", theirs),
            ("execution", "own-run", namespace),
        ):
            kept = kubectl.get(kind, name, "--namespace", place)
            assert kept["metadata"]["generation"] == 1
            assert kept["status"].get("state") not in ("Completed", "Running")
    finally:
        let_go(kubectl, namespace, theirs)
