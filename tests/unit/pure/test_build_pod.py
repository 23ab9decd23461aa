"""The pod of a Sandbox: restricted, sized, owned, without a secret."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model import keys
from soulbox.model.quantity import format_bytes, parse_bytes, parse_millicores
from soulbox.model.specs import (
    NO_NETWORK,
    Limits,
    NetworkProfile,
    PodUser,
    Toleration,
    WorkspaceMedium,
)
from soulbox.model.states import Kind
from soulbox.pure.pods.names import pod_name, pod_user_id
from soulbox.pure.pods.network_policy import build_network_policy, policy_name
from soulbox.pure.pods.plan import PodOwner, PodPlan, build_pod
from tests.support.seen import BOX_UID, LIMITS, RUN_UID, make_class_spec, make_plan

MIB = 2**20
# Volume types that Pod Security "restricted" allows
# (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Its one container."""
    (only,) = pod["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def volumes(pod: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Its emptyDirs by name."""
    return {one["name"]: one["emptyDir"] for one in pod["spec"]["volumes"] if "emptyDir" in one}


def option(pod: dict[str, Any], name: str) -> str:
    """The value of one of the runner's flags."""
    (value,) = [
        part.removeprefix(f"--{name}=")
        for part in container(pod)["command"]
        if part.startswith(f"--{name}=")
    ]
    return str(value)


def one_shot_plan() -> PodPlan:
    """The plan of an Execution's own pod."""
    owner = PodOwner(kind=Kind.EXECUTION, uid=RUN_UID, name="run", namespace="team-a", user=None)
    return make_plan(owner=owner, one_shot=True, lifetime_seconds=None)


PLANS = {
    "a sandbox": make_plan(),
    "a one-shot": one_shot_plan(),
    "everything an admin may set": make_plan(
        sandbox_class=make_class_spec(
            runtime_class_name="gvisor",
            image_pull_policy="Always",
            workspace_medium=WorkspaceMedium.MEMORY,
            node_selector={"pool": "sandboxes"},
            tolerations=(Toleration(key="sandboxes", operator="Exists"),),
            priority_class_name="low",
            do_not_disrupt=True,
            image_pull_secrets=("registry",),
        )
    ),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_pod_keeps_every_rule_of_pod_security_restricted(plan: PodPlan) -> None:
    spec = build_pod(plan)["spec"]
    for forbidden in ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"):
        assert forbidden not in spec
    assert all(set(one) - {"name"} <= RESTRICTED_VOLUMES for one in spec["volumes"])
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    (one,) = spec["containers"]
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("hostPort" not in port for port in one["ports"])


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_pod_holds_no_credential(plan: PodPlan) -> None:
    pod = build_pod(plan)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["enableServiceLinks"] is False
    assert "serviceAccountName" not in pod["spec"]
    assert {kind for one in pod["spec"]["volumes"] for kind in set(one) - {"name"}} == {
        "emptyDir",
        "downwardAPI",
    }
    assert container(pod)["env"] == [
        {"name": "SOULBOX_PUBLIC_KEYS", "value": "k1:AAAA"},
        {
            "name": "SOULBOX_POD_UID",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}},
        },
        {"name": "SOULBOX_CPU_MILLICORES", "value": str(plan.limits.cpu_millicores)},
    ]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_every_volume_is_bounded_and_mounted(plan: PodPlan) -> None:
    pod = build_pod(plan)
    assert all(parse_bytes(one["sizeLimit"]) > 0 for one in volumes(pod).values())
    mounted = {one["name"] for one in container(pod)["volumeMounts"]}
    assert mounted == {*volumes(pod), "identity"}


def test_pod_is_never_restarted_and_ends_with_its_lifetime() -> None:
    spec = build_pod(make_plan())["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["terminationGracePeriodSeconds"] == 5
    assert "activeDeadlineSeconds" not in build_pod(one_shot_plan())["spec"]


@given(
    st.integers(10, 64_000),
    st.integers(16 * MIB, 2**40),
    st.integers(MIB, 2**42),
    st.integers(1, 100),
)
def test_limits_are_the_spec_s_to_the_byte(
    cpu_millicores: int, memory_bytes: int, disk_bytes: int, percent: int
) -> None:
    limits = Limits(cpu_millicores=cpu_millicores, memory_bytes=memory_bytes, disk_bytes=disk_bytes)
    plan = make_plan(limits=limits, sandbox_class=make_class_spec(cpu_request_percent=percent))
    pod = build_pod(plan)
    resources = container(pod)["resources"]
    assert parse_millicores(resources["limits"]["cpu"]) == cpu_millicores
    assert parse_bytes(resources["limits"]["memory"]) == memory_bytes
    assert parse_bytes(resources["requests"]["memory"]) == memory_bytes
    request = parse_millicores(resources["requests"]["cpu"])
    assert request == max(1, cpu_millicores * percent // 100)
    assert 1 <= request <= cpu_millicores
    assert option(pod, "disk-limit-bytes") == str(disk_bytes)
    assert option(pod, "memory-limit-bytes") == str(memory_bytes)


def test_workspace_on_disk_is_evicted_only_after_the_runner_had_its_look() -> None:
    workspace = volumes(build_pod(make_plan()))["workspace"]
    assert parse_bytes(workspace["sizeLimit"]) == LIMITS.disk_bytes + 64 * MIB
    assert "medium" not in workspace


def test_temporary_files_are_evicted_only_after_the_runner_had_its_look() -> None:
    assert volumes(build_pod(make_plan()))["tmp"] == {
        "sizeLimit": format_bytes(LIMITS.disk_bytes + 64 * MIB)
    }


def test_shared_memory_is_bounded_by_the_pod_s_memory() -> None:
    pod = build_pod(make_plan())
    want = {"sizeLimit": format_bytes(LIMITS.memory_bytes), "medium": "Memory"}
    assert volumes(pod)["shm"] == want
    assert {"name": "shm", "mountPath": "/dev/shm"} in container(pod)["volumeMounts"]


def test_the_container_s_message_lies_where_programs_cannot_write() -> None:
    pod = build_pod(make_plan())
    assert container(pod)["terminationMessagePath"] == "/run/soulbox/termination"
    assert option(pod, "state-dir") == "/run/soulbox"


def test_workspace_in_memory_is_exact() -> None:
    plan = make_plan(sandbox_class=make_class_spec(workspace_medium=WorkspaceMedium.MEMORY))
    assert volumes(build_pod(plan))["workspace"] == {
        "sizeLimit": format_bytes(LIMITS.disk_bytes),
        "medium": "Memory",
    }


@pytest.mark.parametrize("concurrency", [1, 4])
def test_output_volume_holds_every_result_that_may_be_kept(concurrency: int) -> None:
    pod = build_pod(make_plan(concurrency=concurrency))
    kept = int(option(pod, "max-unreleased"))
    assert kept > concurrency
    assert option(pod, "max-concurrent") == str(concurrency)
    needed = 2 * kept * make_class_spec().max.output_bytes
    assert parse_bytes(volumes(pod)["output"]["sizeLimit"]) > needed


def test_state_volume_is_a_small_tmpfs() -> None:
    assert volumes(build_pod(make_plan()))["state"] == {
        "sizeLimit": "4Mi",
        "medium": "Memory",
    }


def test_runner_is_told_where_things_are_and_whether_it_serves_one_run() -> None:
    command = container(build_pod(make_plan()))["command"]
    assert command[:2] == ["/usr/local/bin/soulbox-runner", "serve"]
    mounts = {one["mountPath"] for one in container(build_pod(make_plan()))["volumeMounts"]}
    for flag in ("workspace", "state-dir", "output-dir", "tmp-dir"):
        assert option(build_pod(make_plan()), flag) in mounts
    assert "--one-shot" not in command
    assert container(build_pod(one_shot_plan()))["command"][-1] == "--one-shot"


def test_runner_looks_at_the_policy_where_the_class_asks_for_it() -> None:
    flag = "--require-enforcement"
    assert flag not in container(build_pod(make_plan()))["command"]
    wants = replace(make_plan().sandbox_class, require_enforcement=True)
    assert flag in container(build_pod(make_plan(sandbox_class=wants)))["command"]
    (port,) = container(build_pod(make_plan()))["ports"]
    assert option(build_pod(make_plan()), "listen") == f":{port['containerPort']}"


@pytest.mark.parametrize(
    ("plan", "want_kind", "want_uid", "want_label"),
    [
        (make_plan(), "Sandbox", BOX_UID, keys.SANDBOX_UID_LABEL),
        (one_shot_plan(), "Execution", RUN_UID, keys.EXECUTION_UID_LABEL),
    ],
    ids=["a sandbox's", "an execution's"],
)
def test_pod_belongs_to_its_owner(
    plan: PodPlan, want_kind: str, want_uid: str, want_label: str
) -> None:
    metadata = build_pod(plan)["metadata"]
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "soulbox.dev/v1alpha1",
            "kind": want_kind,
            "name": plan.owner.name,
            "uid": want_uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert metadata["namespace"] == "team-a"
    assert metadata["finalizers"] == [keys.RECORDED_FINALIZER]
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "soulbox",
        want_label: want_uid,
        keys.INCARNATION_LABEL: "1",
        keys.CLASS_LABEL: "python",
        keys.NETWORK_PROFILE_LABEL: "none",
        "sidecar.istio.io/inject": "false",
        "kuma.io/sidecar-injection": "disabled",
    }


def test_what_is_billed_stands_on_the_pod() -> None:
    pod = build_pod(make_plan())
    annotations = pod["metadata"]["annotations"]
    assert annotations[keys.SKU_ANNOTATION] == "default"
    # As the limits say it, for who bills a pod that lost them.
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    want = f"cpu={limits['cpu']},memory={limits['memory']}"
    assert annotations[keys.LIMITS_ANNOTATION] == want
    assert annotations[keys.OWNER_NAME_ANNOTATION] == "box"
    assert annotations[keys.USER_ANNOTATION] == "ada"
    assert annotations[keys.SIGNING_KEY_ANNOTATION] == "k1"
    nobody = replace(make_plan().owner, user=None)
    assert keys.USER_ANNOTATION not in build_pod(make_plan(owner=nobody))["metadata"]["annotations"]


def test_admin_s_choices_are_passed_on() -> None:
    pod = build_pod(PLANS["everything an admin may set"])
    assert pod["spec"]["runtimeClassName"] == "gvisor"
    assert pod["spec"]["tolerations"] == [{"key": "sandboxes", "operator": "Exists"}]
    assert container(pod)["imagePullPolicy"] == "Always"


def test_what_nobody_chose_is_left_to_the_cluster() -> None:
    pod = build_pod(make_plan())
    for name in ("runtimeClassName", "tolerations", "priorityClassName", "imagePullSecrets"):
        assert name not in pod["spec"]
    assert "imagePullPolicy" not in container(pod)


def test_toleration_with_every_field() -> None:
    toleration = Toleration(
        key="k", operator="Equal", value="v", effect="NoExecute", toleration_seconds=0
    )
    plan = make_plan(sandbox_class=make_class_spec(tolerations=(toleration,)))
    assert build_pod(plan)["spec"]["tolerations"] == [
        {
            "key": "k",
            "operator": "Equal",
            "value": "v",
            "effect": "NoExecute",
            "tolerationSeconds": 0,
        }
    ]


def test_class_name_too_long_for_a_label_is_cut_to_a_legal_value() -> None:
    name = "a" * 62 + ".b"
    label = build_pod(make_plan(class_name=name))["metadata"]["labels"][keys.CLASS_LABEL]
    assert label == "a" * 62


# Names the API server takes for our objects: DNS subdomains.
PARTS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(PARTS, min_size=1, max_size=6).map(
    lambda parts: ".".join(parts)[:253].rstrip(".-")
)
UIDS = st.uuids().map(str)
DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


@pytest.mark.slow
@given(NAMES, UIDS, st.integers(1, 10**6))
def test_pod_name_is_a_legal_host_name_whatever_the_owner_is_called(
    name: str, uid: str, incarnation: int
) -> None:
    found = pod_name(name, uid, incarnation)
    assert len(found) <= 63
    assert re.fullmatch(DNS_LABEL, found)
    assert found == pod_name(name, uid, incarnation)


@pytest.mark.slow
@given(UIDS, UIDS, st.integers(1, 99), st.integers(1, 99))
def test_owners_that_share_a_long_prefix_have_pods_of_different_names(
    one: str, other: str, first: int, second: int
) -> None:
    prefix = "p" * 60
    same = (one, first) == (other, second)
    equal = pod_name(f"{prefix}-a", one, first) == pod_name(f"{prefix}-b", other, second)
    assert equal is same


@given(UIDS, st.integers(1, 99))
def test_user_id_is_no_account_of_the_host(uid: str, incarnation: int) -> None:
    user_id = pod_user_id(uid, incarnation)
    assert 1_000_000 <= user_id < 1_000_000 + 2**30
    assert user_id == pod_user_id(uid, incarnation)


def test_incarnations_differ_in_user_and_name() -> None:
    assert pod_user_id(BOX_UID, 1) != pod_user_id(BOX_UID, 2)
    assert pod_name("box", BOX_UID, 1) != pod_name("box", BOX_UID, 2)


def test_policy_lets_only_the_operator_in_and_nothing_out() -> None:
    policy = build_network_policy("team-a", NO_NETWORK, "soulbox-system")
    assert policy["metadata"]["name"] == policy_name(NO_NETWORK) == "soulbox-none"
    assert policy["metadata"]["namespace"] == "team-a"
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []
    (rule,) = spec["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": keys.RUNNER_PORT}]
    # One peer with both selectors: two peers would let every pod of the namespace in.
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "soulbox-system"
    }
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "soulbox-operator"}


def test_policy_selects_exactly_the_pods_of_its_profile() -> None:
    selected = build_network_policy("team-a", NO_NETWORK, "s")["spec"]["podSelector"]["matchLabels"]
    labels = build_pod(make_plan())["metadata"]["labels"]
    assert selected.items() <= labels.items()
    other = build_pod(make_plan(network_profile=NetworkProfile(name="web")))["metadata"]["labels"]
    assert not selected.items() <= other.items()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_user_of_the_pod_has_a_name_in_it(plan: PodPlan) -> None:
    pod = build_pod(plan)
    user_id = pod["spec"]["securityContext"]["runAsUser"]
    annotations = pod["metadata"]["annotations"]
    for name, want in (
        ("passwd", f"sandbox:x:{user_id}:{user_id}:SoulBox sandbox:/workspace:/bin/sh"),
        ("group", f"sandbox:x:{user_id}:"),
    ):
        lines = annotations[f"soulbox.dev/{name}"].splitlines()
        assert want in lines
        assert lines[0].startswith("root:x:0:")
        assert {
            "name": "identity",
            "mountPath": f"/etc/{name}",
            "subPath": name,
            "readOnly": True,
        } in container(pod)["volumeMounts"]
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "identity"]
    assert volume["downwardAPI"]["items"] == [
        {
            "path": name,
            "fieldRef": {"fieldPath": f"metadata.annotations['soulbox.dev/{name}']"},
        }
        for name in ("passwd", "group")
    ]


def test_pod_goes_to_linux_nodes_alone() -> None:
    spec = build_pod(PLANS["everything an admin may set"])["spec"]
    assert spec["os"] == {"name": "linux"}
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "sandboxes"}


def test_mesh_puts_no_container_beside_the_runner() -> None:
    metadata = build_pod(make_plan())["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["labels"]["kuma.io/sidecar-injection"] == "disabled"
    assert metadata["annotations"]["linkerd.io/inject"] == "disabled"


def test_autoscalers_are_told_to_leave_the_node_where_the_class_says_so() -> None:
    told = {"cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"}
    assert not told & set(build_pod(make_plan())["metadata"]["annotations"])
    pod = build_pod(PLANS["everything an admin may set"])
    assert told <= set(pod["metadata"]["annotations"])
    assert pod["spec"]["priorityClassName"] == "low"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_disk_is_asked_for_and_its_limit_is_above_all_volumes() -> None:
    pod = build_pod(make_plan())
    resources = container(pod)["resources"]
    assert parse_bytes(resources["requests"]["ephemeral-storage"]) == LIMITS.disk_bytes
    most = sum(
        parse_bytes(one["sizeLimit"]) for one in volumes(pod).values() if "medium" not in one
    )
    assert parse_bytes(resources["limits"]["ephemeral-storage"]) > most


@pytest.mark.parametrize(
    ("plan", "want"),
    [
        (
            make_plan(sandbox_class=make_class_spec(disk_request_percent=10)),
            107_374_182,
        ),
        (make_plan(claim="box-workspace"), 0),
        (make_plan(sandbox_class=make_class_spec(workspace_medium=WorkspaceMedium.MEMORY)), 0),
    ],
    ids=["overcommitted", "on a claim", "in memory"],
)
def test_disk_that_a_node_must_have(plan: PodPlan, want: int) -> None:
    requests = container(build_pod(plan))["resources"]["requests"]
    assert parse_bytes(requests["ephemeral-storage"]) == want


def test_user_id_is_the_platform_s_where_the_class_leaves_it() -> None:
    pod = build_pod(make_plan(sandbox_class=make_class_spec(pod_user=PodUser.PLATFORM)))
    security = pod["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(security)
    assert "identity" not in {one["name"] for one in pod["spec"]["volumes"]}, "the id is unknown"
