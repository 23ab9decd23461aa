"""Who may do what: spec.user, the roles for people, and the operator's own rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.builders import make_execution, make_function, make_sandbox
from tests.support.fix_kube import Kubectl, KubectlError

pytestmark = pytest.mark.api

DRY_RUN = "--dry-run=server"
MAKERS = {
    "executions": make_execution,
    "sandboxes": make_sandbox,
    "functions": make_function,
}
Maker = Callable[..., dict[str, Any]]
OPERATOR = "system:serviceaccount:soulbox-system:soulbox-operator"


def _bind(kubectl: Kubectl, namespace: str, role: str, user: str) -> None:
    kubectl.run(
        "create", "rolebinding", role, "--namespace", namespace, "--clusterrole", role,
        "--user", user,
    )  # fmt: skip


@pytest.mark.parametrize("plural", sorted(MAKERS))
def test_user_may_be_oneself_or_nobody(plural: str, kubectl: Kubectl, namespace: str) -> None:
    _bind(kubectl, namespace, "soulbox-edit", "ada")
    ada = kubectl.acting_as("ada")
    make = MAKERS[plural]
    for user in ("ada", None):
        ada.create(make("one", namespace, user=user), DRY_RUN)


@pytest.mark.parametrize("plural", sorted(MAKERS))
def test_user_may_not_be_another(plural: str, kubectl: Kubectl, namespace: str) -> None:
    _bind(kubectl, namespace, "soulbox-edit", "ada")
    with pytest.raises(KubectlError) as caught:
        kubectl.acting_as("ada").create(MAKERS[plural]("one", namespace, user="bob"), DRY_RUN)
    assert "spec.user may name only yourself (ada)" in str(caught.value)
    assert f"ask for the verb billto on {plural}" in str(caught.value)


@pytest.mark.parametrize("plural", sorted(MAKERS))
def test_user_may_be_anybody_with_the_verb_billto(
    plural: str, kubectl: Kubectl, namespace: str
) -> None:
    _bind(kubectl, namespace, "soulbox-edit", "backend")
    _bind(kubectl, namespace, "soulbox-billto", "backend")
    kubectl.acting_as("backend").create(MAKERS[plural]("one", namespace, user="bob"), DRY_RUN)


def test_billto_counts_in_its_namespace_only(kubectl: Kubectl, namespace: str) -> None:
    _bind(kubectl, namespace, "soulbox-billto", "backend")
    _bind(kubectl, namespace, "soulbox-edit", "backend")
    with pytest.raises(KubectlError):
        kubectl.acting_as("backend").create(make_execution("one", "default", user="bob"), DRY_RUN)


def test_admin_role_has_no_billto(kubectl: Kubectl, namespace: str) -> None:
    """It would let every namespace's administrator bill anybody."""
    _bind(kubectl, namespace, "admin", "ada")
    assert not _can(kubectl, "ada", "billto", "executions.soulbox.dev", namespace)


@pytest.mark.parametrize(
    ("role", "want_verbs"),
    [
        ("view", {"get", "list", "watch"}),
        ("edit", {"get", "list", "watch", "create", "update", "patch", "delete"}),
        ("admin", {"get", "list", "watch", "create", "update", "patch", "delete"}),
    ],
)
def test_roles_of_the_cluster_hold_ours(
    role: str, want_verbs: set[str], kubectl: Kubectl, namespace: str
) -> None:
    """Aggregation is the controller manager's work: a moment may pass after the install."""
    rules = [
        rule
        for name in {"view": ["view"], "edit": ["view", "edit"], "admin": ["view", "edit"]}[role]
        for rule in kubectl.get("clusterrole", f"soulbox-{name}")["rules"]
    ]
    assert {verb for rule in rules for verb in rule["verbs"]} - {"deletecollection"} == want_verbs
    for name in ("view", "edit") if role != "view" else ("view",):
        labels = kubectl.get("clusterrole", f"soulbox-{name}")["metadata"]["labels"]
        assert labels[f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"


def test_tenant_may_do_what_messages_ask_for(kubectl: Kubectl, namespace: str) -> None:
    """With view and edit in a namespace, by RoleBindings alone."""
    for role in ("soulbox-view", "soulbox-edit"):
        _bind(kubectl, namespace, role, "ada")
    ada = kubectl.acting_as("ada")
    names = {one["metadata"]["name"] for one in ada.get("sandboxclasses")["items"]}
    assert {"python", "bash"} <= names
    assert ada.get("events", "--namespace", namespace)["items"] == []
    ada.create(make_sandbox("box", namespace))
    ada.run("label", "sandbox/box", "a=b", "--namespace", namespace)
    assert "Events:" in ada.run("describe", "sandbox/box", "--namespace", namespace)
    ada.run("delete", "sandbox/box", "--wait=false", "--namespace", namespace)
    for verb, resource in (
        ("get", "pods"),
        ("create", "pods/exec"),
        ("get", "secrets"),
        ("create", "sandboxclasses.soulbox.dev"),
        ("billto", "executions.soulbox.dev"),
    ):
        assert not _can(kubectl, "ada", verb, resource, namespace)


def test_nobody_reads_classes_without_a_login(kubectl: Kubectl) -> None:
    nobody = ("--as=system:anonymous", "--as-group=system:unauthenticated")
    with pytest.raises(KubectlError, match="cannot list"):
        kubectl.run("get", "sandboxclasses", *nobody)


ALLOWED = [
    ("list", "executions.soulbox.dev"),
    ("watch", "sandboxes.soulbox.dev"),
    ("patch", "executions.soulbox.dev/status"),
    ("patch", "sandboxes.soulbox.dev/status"),
    ("delete", "executions.soulbox.dev"),
    ("update", "sandboxes.soulbox.dev/finalizers"),
    ("create", "sandboxes.soulbox.dev"),  # of Functions
    ("delete", "sandboxes.soulbox.dev"),
    ("patch", "functions.soulbox.dev/status"),
    ("create", "controllerrevisions.apps"),
    ("delete", "controllerrevisions.apps"),
    ("create", "pods"),
    ("patch", "pods"),
    ("delete", "pods"),
    ("get", "secrets"),
    ("get", "configmaps"),
    ("create", "networkpolicies.networking.k8s.io"),
    ("patch", "networkpolicies.networking.k8s.io"),
    ("create", "events.events.k8s.io"),
    ("list", "events"),
]
FORBIDDEN = [
    ("create", "pods/exec"),
    ("get", "pods/exec"),
    ("create", "pods/portforward"),
    ("get", "pods/log"),
    ("create", "pods/ephemeralcontainers"),
    ("list", "secrets"),
    ("watch", "secrets"),
    ("create", "secrets"),
    ("update", "secrets"),
    ("list", "configmaps"),
    ("create", "executions.soulbox.dev"),
    ("update", "sandboxes.soulbox.dev"),
    ("create", "functions.soulbox.dev"),
    ("delete", "functions.soulbox.dev"),
    ("patch", "controllerrevisions.apps"),
    ("watch", "controllerrevisions.apps"),
    ("delete", "networkpolicies.networking.k8s.io"),
    ("create", "serviceaccounts/token"),
    ("create", "deployments.apps"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("impersonate", "users"),
    ("billto", "executions.soulbox.dev"),
    ("*", "*"),
]


@pytest.mark.parametrize(("verb", "resource"), ALLOWED)
def test_operator_may(verb: str, resource: str, kubectl: Kubectl) -> None:
    assert _can(kubectl, OPERATOR, verb, resource, "default")


@pytest.mark.parametrize(("verb", "resource"), FORBIDDEN)
def test_operator_may_not(verb: str, resource: str, kubectl: Kubectl) -> None:
    assert not _can(kubectl, OPERATOR, verb, resource, "default")


def test_operator_makes_its_key_and_its_lease_at_home_only(kubectl: Kubectl) -> None:
    home = "soulbox-system"
    assert _can(kubectl, OPERATOR, "create", "secrets", home)
    assert not _can(kubectl, OPERATOR, "delete", "secrets", home)
    assert _can(kubectl, OPERATOR, "create", "leases.coordination.k8s.io", home)
    assert not _can(kubectl, OPERATOR, "delete", "leases.coordination.k8s.io", home)
    assert not _can(kubectl, OPERATOR, "create", "leases.coordination.k8s.io", "default")
    assert _can(kubectl, OPERATOR, "get", "leases.coordination.k8s.io", "kube-node-lease")
    assert not _can(kubectl, OPERATOR, "update", "leases.coordination.k8s.io", "kube-node-lease")


def _can(kubectl: Kubectl, user: str, verb: str, resource: str, namespace: str) -> bool:
    """The authorizer's own answer; `resource` is plural[.group][/subresource]."""
    name, _, subresource = resource.partition("/")
    plural, _, group = name.partition(".")
    groups = ["system:authenticated"]
    if user.startswith("system:serviceaccount:"):
        groups += ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"]
    review = kubectl.create(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user,
                "groups": groups,
                "resourceAttributes": {
                    "verb": verb,
                    "group": group,
                    "resource": plural,
                    "subresource": subresource,
                    "namespace": namespace,
                },
            },
        }
    )
    return bool(review["status"]["allowed"])
