"""Who may write our names: labels, annotations and the finalizer of soulbox.dev/, owner references,
the spec of somebody's Sandbox or Function, and what started an Execution. Each as a real user with
the roles that people have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.builders import make_execution, make_function, make_sandbox
from tests.support.fix_kube import Kubectl, KubectlError

pytestmark = pytest.mark.api

MAKERS = {
    "executions": make_execution,
    "functions": make_function,
    "sandboxes": make_sandbox,
}
OPERATOR = "system:serviceaccount:soulbox-system:soulbox-operator"
HELD = "soulbox.dev/recorded"

# C06, C08, C09, C23: the mark that passes the queue, the record that is not kept or rewritten.
OURS: dict[str, dict[str, Any]] = {
    "the mark of dispatch": {"annotations": {"soulbox.dev/dispatched": "u/1"}},
    "the hash of the code": {"annotations": {"soulbox.dev/code-sha256": "aa"}},
    "a name of no meaning yet": {"annotations": {"soulbox.dev/later": "x"}},
    "the Sandbox's uid": {"labels": {"soulbox.dev/sandbox-uid": "u"}},
    "the finalizer": {"finalizers": [HELD]},
}


@pytest.fixture
def ada(kubectl: Kubectl, namespace: str) -> Kubectl:
    """A tenant with soulbox-edit, and Kubernetes' own edit."""
    for role in ("soulbox-edit", "edit"):
        kubectl.run(
            "create", "rolebinding", role, "--namespace", namespace, "--clusterrole", role,
            "--user", "ada",
        )  # fmt: skip
    return kubectl.acting_as("ada")


def named(manifest: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], **metadata}}


@pytest.mark.parametrize("plural", sorted(MAKERS))
def test_tenant_creates_and_edits_without_our_names_only(
    plural: str, kubectl: Kubectl, namespace: str, ada: Kubectl
) -> None:
    plain = MAKERS[plural]("one", namespace)
    for metadata in OURS.values():
        with pytest.raises(KubectlError, match=r"soulbox-names.*operator's"):
            ada.create(named(plain, metadata), "--dry-run=server")
    theirs = {"annotations": {"example.com/a": "b"}, "labels": {"app": "web"}}
    ada.create(named(plain, theirs))
    for metadata in OURS.values():
        with pytest.raises(KubectlError, match=r"soulbox-names.*operator's"):
            ada.merge_patch(plural, "one", namespace, {"metadata": metadata})

    operator = kubectl.acting_as(OPERATOR)
    everything = {
        "annotations": {"soulbox.dev/dispatched": "u/1", "soulbox.dev/code-sha256": "aa"},
        "labels": {"soulbox.dev/sandbox-uid": "u"},
        "finalizers": [HELD, "example.com/theirs"],
    }
    operator.merge_patch(plural, "one", namespace, {"metadata": everything})
    # What is there stays as it is, and everything else is the tenant's still.
    for metadata in (
        {"annotations": {"soulbox.dev/dispatched": None}},
        {"annotations": {"soulbox.dev/code-sha256": "bb"}},
        {"labels": {"soulbox.dev/sandbox-uid": None}},
        {"finalizers": None},
        {"finalizers": ["example.com/theirs"]},
    ):
        with pytest.raises(KubectlError, match=r"soulbox-names.*operator's"):
            ada.merge_patch(plural, "one", namespace, {"metadata": metadata})
    with pytest.raises(KubectlError, match="kubectl replace"):
        ada.run("replace", "--filename=-", stdin=json.dumps(named(plain, theirs)))
    ada.server_apply(named(plain, {"labels": {"app": "other"}}), "--force-conflicts")
    ada.merge_patch(plural, "one", namespace, {"metadata": {"finalizers": [HELD]}})
    ada.run("delete", plural, "one", "--namespace", namespace, "--wait=false")
    # The last resort is an administrator's.
    kubectl.merge_patch(plural, "one", namespace, {"metadata": {"finalizers": None}})


def test_keys_of_live_output_are_the_tenant_s_own(ada: Kubectl, namespace: str) -> None:
    keys = {"annotations": {"soulbox.dev/output-keys-sha256": "ab" * 32}}
    ada.create(named(make_execution("one", namespace), keys))
    for value in ("cd" * 32, None):
        changed = {"annotations": {"soulbox.dev/output-keys-sha256": value}}
        ada.merge_patch("executions", "one", namespace, {"metadata": changed})


# C34: a Sandbox's user pays for it.


def test_spec_of_somebody_s_sandbox_is_changed_by_him_or_with_billto(
    kubectl: Kubectl, namespace: str, ada: Kubectl
) -> None:
    for name, user in (("bobs", "bob"), ("adas", "ada"), ("nobodys", None)):
        kubectl.create(make_sandbox(name, namespace, suspend=True, user=user))
    more = {"spec": {"resources": {"cpu": "1"}}}
    wake = {"spec": {"suspend": False}}
    for patch in (more, wake, {"spec": {"lifetimeSeconds": 60}}):
        with pytest.raises(KubectlError, match="billed to bob, and you are ada"):
            ada.merge_patch("sandboxes", "bobs", namespace, patch)
    ada.merge_patch("sandboxes", "bobs", namespace, {"metadata": {"labels": {"a": "b"}}})
    for name in ("adas", "nobodys"):
        ada.merge_patch("sandboxes", name, namespace, more)
        ada.merge_patch("sandboxes", name, namespace, wake)
    kubectl.run(
        "create", "rolebinding", "billto", "--namespace", namespace, "--clusterrole",
        "soulbox-billto", "--user", "ada",
    )  # fmt: skip
    ada.merge_patch("sandboxes", "bobs", namespace, wake)
    kubectl.acting_as(OPERATOR).merge_patch(
        "sandboxes", "bobs", namespace, {"metadata": {"finalizers": [HELD]}}
    )


def test_code_of_somebody_s_function_is_changed_by_its_user_or_with_billto(
    kubectl: Kubectl, namespace: str, ada: Kubectl
) -> None:
    """Its calls are billed to that user, and run what it says."""
    for name, user in (("bobs", "bob"), ("adas", "ada"), ("nobodys", None)):
        kubectl.create(make_function(name, namespace, user=user))
    code = {"spec": {"code": "import os"}}
    for patch in (code, {"spec": {"scale": {"min": 1}}}):
        with pytest.raises(KubectlError, match="this Function is billed to bob, and you are ada"):
            ada.merge_patch("functions", "bobs", namespace, patch)
    for name in ("adas", "nobodys"):
        ada.merge_patch("functions", name, namespace, code)
    kubectl.run(
        "create", "rolebinding", "billto", "--namespace", namespace, "--clusterrole",
        "soulbox-billto", "--user", "ada",
    )  # fmt: skip
    ada.merge_patch("functions", "bobs", namespace, code)


# C36: a cause of one's own.

CAUSE = {
    "kind": "Trigger",
    "name": "nightly",
    "uid": "0e5ad7a2-3d8b-4f0f-9f61-5b1d0a5e0001",
    "eventID": "1.7421.3",
    "scheduledTime": "2026-11-30T02:00:00Z",
    "attempt": 2,
}


def test_what_started_an_execution_is_written_by_soulbox_alone(
    kubectl: Kubectl, namespace: str, ada: Kubectl
) -> None:
    def started(name: str, **cause: Any) -> dict[str, Any]:
        return make_execution(name, namespace, sandboxRef={"name": "none"}, cause=CAUSE | cause)

    for person in (ada, kubectl):  # an administrator has every right, and starts things by hand
        with pytest.raises(KubectlError, match=r"spec\.cause is written by SoulBox: remove it"):
            person.create(started("one"))
    kubectl.run(
        "create", "rolebinding", "operator", "--namespace", namespace, "--clusterrole",
        "soulbox-edit", "--user", OPERATOR,
    )  # fmt: skip
    operator = kubectl.acting_as(OPERATOR)
    for wrong in ({"uid": "nightly"}, {"kind": "a person"}, {"eventID": ""}, {"attempt": 0}):
        with pytest.raises(KubectlError, match=rf"spec\.cause\.{next(iter(wrong))}"):
            operator.create(started("one", **wrong))
    operator.create(started("one"))
    assert kubectl.get("executions", "one", "--namespace", namespace)["spec"]["cause"] == CAUSE
    selected = "--field-selector=spec.cause.name=nightly"
    wide = kubectl.run("get", "sbe", "--namespace", namespace, selected, "--output=wide")
    assert "CAUSE" in wide
    assert "nightly" in wide

    kubectl.create(make_execution("two", namespace, sandboxRef={"name": "none"}))
    for login in (ada, kubectl, operator):
        for name, cause in (("one", None), ("one", {"attempt": 3}), ("two", CAUSE)):
            with pytest.raises(KubectlError, match=r"spec\.cause cannot be changed"):
                login.merge_patch("executions", name, namespace, {"spec": {"cause": cause}})
    ada.merge_patch("executions", "one", namespace, {"spec": {"cancel": True}})


# C18, C20: pods that look like ours.


def pod(namespace: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "box", "namespace": namespace, **metadata},
        "spec": {
            "nodeSelector": {"nowhere": "true"},
            "containers": [{"name": "runner", "image": "none"}],
        },
    }


OWNER = {"apiVersion": "soulbox.dev/v1alpha1", "kind": "Sandbox", "name": "box", "uid": "u"}
ALIKE: dict[str, dict[str, Any]] = {
    "our finalizer": {"finalizers": [HELD]},
    "an incarnation": {"labels": {"soulbox.dev/incarnation": "999999999"}},
    "a Sandbox's uid": {"labels": {"soulbox.dev/sandbox-uid": "u"}},
    "somebody to bill": {"annotations": {"soulbox.dev/user": "victim@corp"}},
    "an owner of ours": {"ownerReferences": [OWNER]},
}


def test_pods_that_look_like_ours_are_made_by_the_operator_only(
    kubectl: Kubectl, namespace: str, ada: Kubectl
) -> None:
    for metadata in ALIKE.values():
        with pytest.raises(KubectlError, match=r"soulbox-pods.*operator"):
            ada.create(pod(namespace, **metadata), "--dry-run=server")
    ada.create(pod(namespace, labels={"app.kubernetes.io/managed-by": "soulbox"}))
    for metadata in ALIKE.values():
        with pytest.raises(KubectlError, match=r"soulbox-pods.*operator"):
            ada.merge_patch("pods", "box", namespace, {"metadata": metadata})
    ada.merge_patch("pods", "box", namespace, {"metadata": {"labels": {"mine": "yes"}}})
    whole = {key: value for metadata in ALIKE.values() for key, value in metadata.items()}
    kubectl.acting_as(OPERATOR).create(
        named(pod(namespace), {"name": "real", **whole}), "--dry-run=server"
    )


def _pod_of_ours(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(
        pod(
            namespace,
            finalizers=[HELD],
            labels={"soulbox.dev/sandbox-uid": "u"},
            annotations={"soulbox.dev/sku": "gold"},
        )
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {"soulbox.dev/sku": "free"}},
        {"annotations": {"soulbox.dev/sku": None}},
        {"annotations": {"soulbox.dev/lost-time": "2026-01-01T00:00:00Z"}},
        {"labels": {"soulbox.dev/sandbox-uid": "other"}},
        {"labels": {"soulbox.dev/execution-uid": "more"}},
        {"finalizers": []},
    ],
    ids=str,
)
def test_what_a_pod_is_billed_by_is_not_the_tenants_to_change(
    metadata: dict[str, Any], kubectl: Kubectl, namespace: str, ada: Kubectl
) -> None:
    _pod_of_ours(kubectl, namespace)
    ada.merge_patch("pods", "box", namespace, {"metadata": {"labels": {"mine": "yes"}}})
    with pytest.raises(KubectlError, match=r"soulbox-pods.*operator"):
        ada.merge_patch("pods", "box", namespace, {"metadata": metadata})
    operator = kubectl.acting_as(OPERATOR)
    operator.merge_patch("pods", "box", namespace, {"metadata": metadata})
    operator.merge_patch("pods", "box", namespace, {"metadata": {"finalizers": []}})
