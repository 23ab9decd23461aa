"""What one tenant tries on another through the API server, and the words it is refused with.

{mine} and {theirs} are namespaces. In {mine} the attacker has a Sandbox `own` with an Execution
`own-run`, and there are bob's Sandbox `bobs` and a pod of ours, `ours`; in
{theirs} a Sandbox `victim` (uid {uid}) with an Execution and a pod. {bobs} is the uid of his
Sandbox. Nothing here needs an operator; what that refuses is in tests/e2e/test_two_tenants.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

API = "/apis/soulbox.dev/v1alpha1/namespaces"
EXECUTIONS = f"{API}/{{mine}}/executions"
SANDBOXES = f"{API}/{{mine}}/sandboxes"
PODS = "/api/v1/namespaces/{mine}/pods"
HELD = "soulbox.dev/recorded"
CAUSE = {"kind": "Trigger", "name": "victim", "uid": "0e5ad7a2-3d8b-4f0f-9f61-5b1d0a5e0001"}

NAMES = "operator's"  # of the policies soulbox-names and soulbox-pods
RBAC = "is forbidden: User"
OWNERS = "only the operator makes pods of a Sandbox"


@dataclass(frozen=True, slots=True)
class Try:
    """One call and the words of its refusal: with soulbox-edit, and with Kubernetes' edit too.

    Attributes:
        edit: words where the role `edit` gets further and is refused by something else.
    """

    method: str
    path: str
    want: str
    body: dict[str, Any] | None = None
    edit: str | None = None

    def words(self, role: str) -> str:
        """What the refusal says to a login with that role."""
        return self.want if role == "soulbox-edit" or self.edit is None else self.edit


def _execution(**changes: Any) -> dict[str, Any]:
    spec = {"sandboxRef": {"name": "own"}, "code": "1", **changes.pop("spec", {})}
    return _object("Execution", {k: v for k, v in spec.items() if v is not None}, changes)


def _sandbox(**changes: Any) -> dict[str, Any]:
    return _object("Sandbox", {"className": "python", **changes.pop("spec", {})}, changes)


def _object(kind: str, spec: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    metadata = {"generateName": "try-", **changes.pop("metadata", {})}
    manifest = {"apiVersion": "soulbox.dev/v1alpha1", "kind": kind, "metadata": metadata}
    return {**manifest, "spec": spec, **changes}


def _pod(**metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "try-", **metadata},
        "spec": {
            "nodeSelector": {"nowhere": "true"},
            "containers": [{"name": "runner", "image": "none"}],
        },
    }


def _meta(**metadata: Any) -> dict[str, Any]:
    return {"metadata": metadata}


def _owner(kind: str, uid: str) -> list[dict[str, str]]:
    group = "soulbox.dev/v1alpha1" if kind != "Namespace" else "v1"
    return [{"apiVersion": group, "kind": kind, "name": "victim", "uid": uid}]


OWN_RUN, OWN, BOBS = f"{EXECUTIONS}/own-run", f"{SANDBOXES}/own", f"{SANDBOXES}/bobs"
OURS = f"{PODS}/ours"
THEIRS = f"{API}/{{theirs}}"

TRIES: dict[str, Try] = {
    "C01 an Execution for bob": Try(
        "POST", EXECUTIONS, "spec.user may name only yourself", _execution(spec={"user": "bob"})),
    "C01 a Sandbox for bob": Try(
        "POST", SANDBOXES, "spec.user may name only yourself", _sandbox(spec={"user": "bob"})),
    "C01 one's own name with a space": Try(
        "POST", EXECUTIONS, "spec.user is not a name that a bill can show",
        _execution(spec={"user": "mallory "})),
    "C01 nobody's name": Try("POST", SANDBOXES, "spec.user", _sandbox(spec={"user": ""})),
    "C01 the operator's name": Try(
        "POST", EXECUTIONS, "spec.user may name only yourself",
        _execution(spec={"user": "system:serviceaccount:soulbox-system:soulbox-operator"})),
    "C01 a user taken away": Try(
        "PATCH", BOBS, "spec.user cannot be changed", {"spec": {"user": None}}),
    "C02 the user changed": Try("PATCH", OWN_RUN, "cannot be changed", {"spec": {"user": "bob"}}),
    "C02 the code changed": Try("PATCH", OWN_RUN, "cannot be changed", {"spec": {"code": "2"}}),
    "C02 another Sandbox": Try(
        "PATCH", OWN_RUN, "cannot be changed", {"spec": {"sandboxRef": {"name": "bobs"}}}),
    "C02 the user of a Sandbox": Try("PATCH", OWN, "user", {"spec": {"user": "mallory"}}),
    "C02 the class of a Sandbox": Try("PATCH", OWN, "className", {"spec": {"className": "bash"}}),
    "C03 an Execution's status": Try(
        "PATCH", f"{OWN_RUN}/status", RBAC, {"status": {"state": "Completed"}}),
    "C03 a Sandbox's status": Try(
        "PATCH", f"{OWN}/status", RBAC, {"status": {"state": "Running"}}),
    "C04 an Execution there": Try("POST", f"{THEIRS}/executions", RBAC, _execution()),
    "C04 a Sandbox there": Try("POST", f"{THEIRS}/sandboxes", RBAC, _sandbox()),
    "C04 a look at their Sandbox": Try("GET", f"{THEIRS}/sandboxes/victim", RBAC),
    "C04 a look at their Execution": Try("GET", f"{THEIRS}/executions/victim-run", RBAC),
    "C04 all Executions of all": Try("GET", "/apis/soulbox.dev/v1alpha1/executions", RBAC),
    "C04 a watch on all Sandboxes":
        Try("GET", "/apis/soulbox.dev/v1alpha1/sandboxes?watch=1", RBAC),
    "C04 their Sandbox deleted": Try("DELETE", f"{THEIRS}/sandboxes/victim", RBAC),
    "C04 their run cancelled": Try(
        "PATCH", f"{THEIRS}/executions/victim-run", RBAC, {"spec": {"cancel": True}}),
    "C04 their Sandbox by name": Try(
        "POST", EXECUTIONS, "spec.sandboxRef.name",
        _execution(spec={"sandboxRef": {"name": "{theirs}/victim"}})),
    "C04 their Sandbox by a field": Try(
        "POST", EXECUTIONS, "unknown field",
        _execution(spec={"sandboxRef": {"name": "victim", "namespace": "{theirs}"}})),
    "C05 the mark of their pod": Try(
        "PATCH", OWN_RUN, NAMES, _meta(annotations={"soulbox.dev/dispatched": "{uid}/1"})),
    "C06 the mark at creation": Try(
        "POST", EXECUTIONS, NAMES,
        _execution(metadata={"annotations": {"soulbox.dev/dispatched": "{uid}/1"}})),
    "C06 the mark by apply": Try(
        "APPLY", OWN_RUN, NAMES,
        {"apiVersion": "soulbox.dev/v1alpha1", "kind": "Execution",
         **_meta(annotations={"soulbox.dev/dispatched": "{uid}/1"})}),
    "C07 the label of a Sandbox": Try(
        "POST", EXECUTIONS, NAMES,
        _execution(metadata={"labels": {"soulbox.dev/sandbox-uid": "{uid}"}})),
    "C08 the finalizer off": Try("PATCH", OWN_RUN, NAMES, _meta(finalizers=None)),
    "C09 of a Sandbox": Try("PATCH", OWN, NAMES, _meta(finalizers=[])),
    "C09 our finalizer on what is new": Try(
        "POST", SANDBOXES, NAMES, _sandbox(metadata={"finalizers": [HELD]})),
    "C14 a pod's spec": Try("POST", SANDBOXES, "unknown field", _sandbox(spec={"podSpec": {}})),
    "C14 privileges": Try(
        "POST", SANDBOXES, "unknown field",
        _sandbox(spec={"securityContext": {"privileged": True}})),
    "C14 volumes": Try(
        "POST", SANDBOXES, "unknown field",
        _sandbox(spec={"volumes": [{"name": "root", "hostPath": {"path": "/"}}]})),
    "C14 an image": Try("POST", SANDBOXES, "unknown field", _sandbox(spec={"image": "mine"})),
    "C14 an account": Try(
        "POST", EXECUTIONS, "unknown field", _execution(spec={"serviceAccountName": "default"})),
    "C14 a runtime": Try(
        "POST", SANDBOXES, "unknown field", _sandbox(spec={"runtimeClassName": "none"})),
    "C14 a node": Try("POST", SANDBOXES, "unknown field", _sandbox(spec={"nodeName": "n"})),
    "C14 the host's network": Try(
        "POST", SANDBOXES, "unknown field", _sandbox(spec={"hostNetwork": True})),
    "C15 a path for a class": Try(
        "POST", SANDBOXES, "spec.className", _sandbox(spec={"className": "../python"})),
    "C15 less than no CPU": Try(
        "POST", SANDBOXES, "cpu", _sandbox(spec={"resources": {"cpu": "-1"}})),
    "C15 a millionth of a CPU": Try(
        "POST", SANDBOXES, "cpu", _sandbox(spec={"resources": {"cpu": "1u"}})),
    "C15 a class of one's own": Try(
        "POST", "/apis/soulbox.dev/v1alpha1/sandboxclasses", RBAC,
        {"apiVersion": "soulbox.dev/v1alpha1", "kind": "SandboxClass",
         "metadata": {"name": "mine"}, "spec": {"image": "mine"}}),
    "C15 another class's image": Try(
        "PATCH", "/apis/soulbox.dev/v1alpha1/sandboxclasses/python", RBAC,
        {"spec": {"image": "mine"}}),
    "C16 what a pod costs": Try(
        "PATCH", OURS, RBAC, _meta(annotations={"soulbox.dev/sku": "free"}), NAMES),
    "C16 whose pod it is": Try(
        "PATCH", OURS, RBAC, _meta(annotations={"soulbox.dev/user": "carol"}), NAMES),
    "C16 which Sandbox's": Try(
        "PATCH", OURS, RBAC, _meta(labels={"soulbox.dev/sandbox-uid": "{uid}"}), NAMES),
    "C16 its finalizer": Try("PATCH", OURS, RBAC, _meta(finalizers=None), NAMES),
    "C16 its status": Try("PATCH", f"{OURS}/status", RBAC, {"status": {"phase": "Failed"}}),
    "C16 its size": Try("PATCH", f"{OURS}/resize", RBAC, {"spec": {"containers": [
        {"name": "runner", "resources": {"limits": {"cpu": "1m"}}}]}}),
    "C16 a container beside the runner": Try(
        "PATCH", f"{OURS}/ephemeralcontainers", RBAC,
        {"spec": {"ephemeralContainers": [{"name": "x", "image": "none"}]}}),
    "C16 bound to a node": Try(
        "POST", f"{OURS}/binding", RBAC,
        {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "ours"},
         "target": {"kind": "Node", "name": "none"}}),
    "C17 an owner that is another": Try(
        "PATCH", OURS, RBAC, _meta(ownerReferences=_owner("Sandbox", "{uid}")), OWNERS),
    "C18 a pod for bob to pay": Try(
        "POST", PODS, RBAC,
        _pod(finalizers=[HELD], annotations={"soulbox.dev/user": "bob"}), NAMES),
    "C18 a pod of bob's Sandbox": Try(
        "POST", PODS, RBAC, _pod(ownerReferences=_owner("Sandbox", "{bobs}")), OWNERS),
    "C19 a pod of their Sandbox": Try(
        "POST", PODS, RBAC, _pod(labels={"soulbox.dev/sandbox-uid": "{uid}"}), NAMES),
    "C20 the last incarnation": Try(
        "POST", PODS, RBAC, _pod(labels={"soulbox.dev/incarnation": "999999999"}), NAMES),
    "C23 the code's hash": Try(
        "PATCH", OWN_RUN, NAMES, _meta(annotations={"soulbox.dev/code-sha256": "a" * 64})),
    "C23 a name of ours to come": Try(
        "PATCH", OWN_RUN, NAMES, _meta(annotations={"soulbox.dev/later": "x"})),
    "C25 code of 256 KiB and a byte": Try(
        "POST", EXECUTIONS, "spec.code", _execution(spec={"code": "x" * 262_145})),
    "C25 an annotation of 300 KB": Try(
        "POST", EXECUTIONS, "annotations", _execution(metadata={"annotations": {
            "a": "x" * 300_000}})),
    "C26 a file's name with NUL": Try(
        "POST", EXECUTIONS, "NUL", _execution(spec={"files": [
            {"path": "a\0b", "content": "x"}]})),
    "C34 bob's Sandbox larger": Try(
        "PATCH", BOBS, "billed to bob", {"spec": {"resources": {"cpu": "1"}}}),
    "C34 bob's Sandbox awake": Try("PATCH", BOBS, "billed to bob", {"spec": {"suspend": False}}),
    "C34 bob's Sandbox for longer": Try(
        "PATCH", BOBS, "billed to bob", {"spec": {"lifetimeSeconds": 86_400}}),
    "C34 bob's Sandbox awake by apply": Try(
        "APPLY", BOBS, "billed to bob",
        {"apiVersion": "soulbox.dev/v1alpha1", "kind": "Sandbox", "spec": {"suspend": False}}),
    "C35 their Secrets": Try("GET", "/api/v1/namespaces/{theirs}/secrets", RBAC),
    "C35 their ConfigMaps": Try("GET", "/api/v1/namespaces/{theirs}/configmaps", RBAC),
    "C35 their pods": Try("GET", "/api/v1/namespaces/{theirs}/pods", RBAC),
    "C35 their Events": Try("GET", "/api/v1/namespaces/{theirs}/events", RBAC),
    "C35 a login in their pod": Try(
        "POST", "/api/v1/namespaces/{theirs}/pods/theirs/exec?command=id", RBAC),
    "C35 their pod's log": Try("GET", "/api/v1/namespaces/{theirs}/pods/theirs/log", RBAC),
    "C35 a port of their pod": Try(
        "POST", "/api/v1/namespaces/{theirs}/pods/theirs/portforward", RBAC),
    "C35 their pod through the API server": Try(
        "GET", "/api/v1/namespaces/{theirs}/pods/theirs:8478/proxy/healthz", RBAC),
    "C35 their policy away": Try(
        "DELETE", "/apis/networking.k8s.io/v1/namespaces/{theirs}/networkpolicies/soulbox-none",
        RBAC),
    "C35 the signing key": Try(
        "GET", "/api/v1/namespaces/soulbox-system/secrets/soulbox-signing-key", RBAC),
    "C35 a token of the operator": Try(
        "POST", "/api/v1/namespaces/soulbox-system/serviceaccounts/soulbox-operator/token", RBAC,
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
    "C35 the operator's Lease": Try(
        "PATCH", "/apis/coordination.k8s.io/v1/namespaces/soulbox-system/leases/soulbox-operator",
        RBAC, {"spec": {"holderIdentity": "mallory"}}),
    "C35 the operator's port, another path": Try(
        "GET", "/api/v1/namespaces/soulbox-system/services/soulbox-operator:other/proxy/", RBAC),
    "C35 a policy away": Try(
        "DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/soulbox-names",
        RBAC),
    "C35 a right of its own": Try(
        "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/{mine}/rolebindings", RBAC,
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
         "metadata": {"name": "more"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                     "name": "soulbox-billto"},
         "subjects": [{"kind": "User", "name": "mallory"}]}),
    "C35 their namespace as another tenant's": Try(
        "PATCH", "/api/v1/namespaces/{theirs}", RBAC,
        _meta(labels={"soulbox.dev/tenant": "mine"})),
    "C35 one's own as another tenant's": Try(
        "PATCH", "/api/v1/namespaces/{mine}", RBAC,
        _meta(labels={"soulbox.dev/tenant": "theirs"})),
    "C35 a node": Try("GET", "/api/v1/nodes", RBAC),
    "C36 a Trigger that started it": Try(
        "POST", EXECUTIONS, "spec.cause is written by SoulBox", _execution(spec={"cause": CAUSE})),
    "C36 a Trigger, afterwards": Try(
        "PATCH", OWN_RUN, "spec.cause cannot be changed", {"spec": {"cause": CAUSE}}),
}  # fmt: skip
