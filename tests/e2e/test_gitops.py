"""The example application as a GitOps tool handles it: applied, re-applied, pruned."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from soulbox.model.keys import (
    DISPATCHED_ANNOTATION,
    FIELD_MANAGER,
    SANDBOX_UID_LABEL,
    TERMS_ANNOTATION,
)
from tests.support.fix_kube import ROOT
from tests.support.gitops import argocd_health, kstatus
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

APP = ROOT / "examples/gitops/app"
EXECUTIONS = ("reports-schema-1", "reports-smoke-1")
APPLY_SET = ("--prune", "--applyset=configmap/reports")
# Everything that the operator may write on an object that somebody else owns.
OPERATORS_FIELDS = {
    'f:metadata f:finalizers v:"soulbox.dev/recorded"',
    f"f:metadata f:annotations f:{DISPATCHED_ANNOTATION}",
    f"f:metadata f:annotations f:{TERMS_ANNOTATION}",
    f"f:metadata f:labels f:{SANDBOX_UID_LABEL}",
}


def kubectl(world: World, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
    """Exit code and output, as a tool would call it."""
    done = subprocess.run(
        [world.kubectl.program, "--kubeconfig", world.kubectl.kubeconfig, "--namespace",
         world.namespace, *arguments],
        input=stdin,
        env={**os.environ, "KUBECTL_APPLYSET": "true"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def apply(world: World, *options: str, stdin: str | None = None) -> None:
    """Server-side, as Argo CD and Flux do."""
    source = ("-k", str(APP)) if stdin is None else ("-f", "-")
    code, said = kubectl(
        world, "apply", "--server-side", "--field-manager=gitops", *options, *source, stdin=stdin
    )
    assert code == 0, said


def objects(world: World) -> dict[str, Manifest]:
    """The application's objects with managedFields, by name."""
    code, said = kubectl(
        world, "get", "sandboxes,executions", "--show-managed-fields", "-o", "json",
        "-l", "app.kubernetes.io/part-of=reports",
    )  # fmt: skip
    assert code == 0, said
    return {item["metadata"]["name"]: item for item in json.loads(said)["items"]}


def field_paths(node: dict[str, Any], path: str = "") -> Iterator[str]:
    """The leaves of a fieldsV1."""
    inner = {key: child for key, child in node.items() if key != "."}
    if not inner:
        yield path
    for key, child in inner.items():
        yield from field_paths(child, f"{path} {key}".strip())


def run_to_the_end(world: World) -> None:
    """Until the Sandbox runs and both Executions have completed."""
    world.sandbox("reports")
    for name in EXECUTIONS:
        assert world.execution(name)["status"]["state"] == "Completed"


def test_applied_again_after_it_ran_there_is_nothing_to_do(world: World) -> None:
    apply(world)
    run_to_the_end(world)
    before = objects(world)
    code, diff = kubectl(world, "diff", "--server-side", "--field-manager=gitops", "-k", str(APP))
    assert (code, diff) == (0, "")
    apply(world)
    after = objects(world)
    assert {*before} == {"reports", *EXECUTIONS} == {*after}
    for name, manifest in after.items():
        assert manifest["metadata"]["generation"] == 1
        assert manifest["status"]["observedGeneration"] == 1
        assert manifest["spec"] == before[name]["spec"]
        assert manifest["metadata"]["uid"] == before[name]["metadata"]["uid"]


def test_operator_owns_status_finalizer_and_its_marks_and_nothing_else(world: World) -> None:
    apply(world)
    run_to_the_end(world)
    for name, manifest in objects(world).items():
        owned: set[str] = set()
        for entry in manifest["metadata"]["managedFields"]:
            if entry["manager"] != FIELD_MANAGER:
                assert entry.get("subresource") is None, entry
                continue
            owned |= set(field_paths(entry["fieldsV1"]))
        assert owned, name
        others = {path for path in owned if not path.startswith("f:status")}
        assert others <= OPERATORS_FIELDS, (name, others - OPERATORS_FIELDS)


def test_both_tools_call_the_application_healthy(world: World) -> None:
    apply(world)
    run_to_the_end(world)
    found = objects(world)
    assert {name: argocd_health(manifest)["status"] for name, manifest in found.items()} == (
        dict.fromkeys(found, "Healthy")
    )
    assert [one["status"] for one in kstatus(list(found.values()))] == ["Current"] * 3


def test_marks_of_the_tool_do_not_reach_the_pods(world: World) -> None:
    """A tool takes what carries its mark for its own, and prunes it."""
    apply(world)
    world.kubectl.run(
        "annotate", "sandbox/reports", "--namespace", world.namespace,
        "argocd.argoproj.io/tracking-id=reports:soulbox.dev/Sandbox:x/reports",
    )  # fmt: skip
    run_to_the_end(world)
    for pod in world.pods():
        marks = {**pod["metadata"].get("labels", {}), **pod["metadata"].get("annotations", {})}
        assert "app.kubernetes.io/part-of" not in marks
        assert "argocd.argoproj.io/tracking-id" not in marks
        assert "argocd.argoproj.io/ignore-restart-policy" in marks


def test_what_leaves_the_repository_is_pruned_and_its_record_stays(world: World) -> None:
    _, rendered = kubectl(world, "kustomize", str(APP))
    documents = rendered.split("\n---\n")
    apply(world, *APPLY_SET, stdin=rendered)
    run_to_the_end(world)
    uid = world.get("execution", "reports-smoke-1")["metadata"]["uid"]

    kept = [text for text in documents if "reports-smoke-1" not in text]
    assert len(kept) == len(documents) - 1
    apply(world, *APPLY_SET, stdin="\n---\n".join(kept))
    world.wait_gone("execution", "reports-smoke-1")
    assert {*objects(world)} == {"reports", "reports-schema-1"}
    rows = world.wait_rows(
        "select state, stdout like 'SQLite %%' as kept from soulbox.executions"
        " where uid = %(uid)s and deleted_at is not null",
        uid=uid,
    )
    assert rows == [{"state": "completed", "kept": True}]

    code, said = kubectl(world, "delete", "--wait=false", "-k", str(APP), "--ignore-not-found")
    assert code == 0, said
    world.wait_gone("execution", "reports-schema-1")
    world.wait_gone("sandbox", "reports")
    world.poll(lambda: not world.pods(), "the Sandbox's pod to go")
