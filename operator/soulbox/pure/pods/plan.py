"""The pod of a Sandbox or of a one-shot Execution.

Tenants give no PodSpec: everything here comes from the admin's class and from bounded
numbers. The result passes Pod Security "restricted" and holds no secret: the runner knows
the operator by its public key only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from soulbox.model import keys
from soulbox.model.manifests import reference_to
from soulbox.model.quantity import format_bytes, format_millicores, parse_bytes
from soulbox.model.specs import (
    Limits,
    NetworkProfile,
    PodUser,
    SandboxClassSpec,
    Toleration,
    WorkspaceMedium,
)
from soulbox.model.states import Kind
from soulbox.pure.pods.identity import identity_annotations, identity_mounts, identity_volume
from soulbox.pure.pods.names import pod_name, pod_user_id
from soulbox.pure.pods.network_policy import profile_key

RUNNER_PATH: Final = "/usr/local/bin/soulbox-runner"
WORKSPACE: Final = "/workspace"
_STATE_DIR: Final = "/run/soulbox"
_OUTPUT_DIR: Final = "/var/lib/soulbox"
# The journal: small JSON files only (runner.md: a 4 MiB tmpfs).
_STATE_BYTES: Final = 4 * 2**20
# On disk the runner's own look, each second, comes before the kubelet's eviction.
_EVICTION_SLACK_BYTES: Final = 64 * 2**20
# Where the kubelet takes a last message from. Anybody in the pod could write to the usual
# place, which lies on the node's disk and counts as nobody's: the runner hides this one.
_CONTAINERS_MESSAGE: Final = f"{_STATE_DIR}/termination"
# Results the runner keeps until they are recorded; beyond it answers TableFull.
_MAX_UNRELEASED: Final = 16
# Above this the kubelet's eviction, below it the runner's own limit on each stream.
_OUTPUT_SLACK_BYTES: Final = 16 * 2**20


# Logs of the container count as its disk too: the kubelet keeps 5 files of 10 MiB by default.
_LOG_BYTES: Final = 64 * 2**20
# Meshes put a container beside the runner that never ends, and take the network's walls away.
_NO_SIDECAR_LABELS: Final = {
    "sidecar.istio.io/inject": "false",
    "kuma.io/sidecar-injection": "disabled",
}
_NO_SIDECAR_ANNOTATIONS: Final = {"linkerd.io/inject": "disabled"}
_DO_NOT_DISRUPT: Final = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOwner:
    """Whose pod it is."""

    kind: Kind  # SANDBOX or EXECUTION
    uid: str
    name: str
    namespace: str
    user: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlan:
    """What a pod is built from."""

    owner: PodOwner
    incarnation: int
    class_name: str
    sandbox_class: SandboxClassSpec
    limits: Limits
    concurrency: int
    # None: no deadline. Seconds from the pod's start, by the kubelet's clock.
    lifetime_seconds: int | None
    one_shot: bool
    network_profile: NetworkProfile
    # "keyid:base64…" of each key the operator may sign with.
    public_keys: str
    key_id: str
    # The claim that /workspace lies on; None: it goes with the pod.
    claim: str | None = None


def build_pod(plan: PodPlan) -> dict[str, Any]:
    """The manifest to create."""
    sandbox_class = plan.sandbox_class
    # Files of a workspace that stays must be its next pod's too.
    user_id = pod_user_id(plan.owner.uid, plan.incarnation if plan.claim is None else 0)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        **_name_servers(plan.network_profile),
        # Nodes of other systems would take the pod and fail to start it.
        "os": {"name": "linux"},
        "nodeSelector": {"kubernetes.io/os": "linux", **sandbox_class.node_selector},
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan)],
        "volumes": _volumes(plan),
    }
    if plan.lifetime_seconds is not None:
        spec["activeDeadlineSeconds"] = plan.lifetime_seconds
    if sandbox_class.runtime_class_name is not None:
        spec["runtimeClassName"] = sandbox_class.runtime_class_name
    if sandbox_class.priority_class_name is not None:
        spec["priorityClassName"] = sandbox_class.priority_class_name
    if sandbox_class.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in sandbox_class.image_pull_secrets]
    if sandbox_class.tolerations:
        spec["tolerations"] = [_toleration(one) for one in sandbox_class.tolerations]
    metadata = _metadata(plan)
    if sandbox_class.pod_user is PodUser.OWN:
        ids = ("runAsUser", "runAsGroup", "fsGroup")
        spec["securityContext"] |= dict.fromkeys(ids, user_id)
        metadata["annotations"] |= identity_annotations(user_id, WORKSPACE)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _name_servers(profile: NetworkProfile) -> dict[str, Any]:
    """Without any egress a name server of the pod's own, where nobody listens: a look-up fails
    at once. The node's would be asked in vain for 20 s and more, because network plugins drop
    what they forbid. Without leave to ask the cluster's DNS nothing needs the cluster's names."""
    if not profile.egress:
        return {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}}
    return {"dnsPolicy": "ClusterFirst" if profile.has_dns else "Default"}


def _metadata(plan: PodPlan) -> dict[str, Any]:
    owner = plan.owner
    uid_label = keys.SANDBOX_UID_LABEL if owner.kind is Kind.SANDBOX else keys.EXECUTION_UID_LABEL
    annotations = {
        keys.SKU_ANNOTATION: plan.sandbox_class.sku,
        keys.OWNER_NAME_ANNOTATION: owner.name,
        keys.SIGNING_KEY_ANNOTATION: plan.key_id,
        keys.LIMITS_ANNOTATION: (
            f"cpu={format_millicores(plan.limits.cpu_millicores)},"
            f"memory={format_bytes(plan.limits.memory_bytes)}"
        ),
        keys.ARGOCD_IGNORE_ANNOTATION: "true",
    }
    if owner.user is not None:
        annotations[keys.USER_ANNOTATION] = owner.user
    annotations |= _NO_SIDECAR_ANNOTATIONS
    if plan.sandbox_class.do_not_disrupt:
        annotations |= _DO_NOT_DISRUPT
    return {
        "name": pod_name(owner.name, owner.uid, plan.incarnation),
        "namespace": owner.namespace,
        # Ours from the first moment: a pod deleted, drained or evicted while the operator
        # or PostgreSQL is away keeps its times until the ledger has them.
        "finalizers": [keys.RECORDED_FINALIZER],
        "labels": {
            keys.MANAGED_BY_LABEL: keys.MANAGED_BY,
            uid_label: owner.uid,
            keys.INCARNATION_LABEL: str(plan.incarnation),
            # A class's name may have 253 characters, a label's value 63.
            keys.CLASS_LABEL: plan.class_name[:63].rstrip("-._"),
            keys.NETWORK_PROFILE_LABEL: profile_key(plan.network_profile),
            **_NO_SIDECAR_LABELS,
        },
        "annotations": annotations,
        "ownerReferences": [reference_to(owner.kind, owner.name, owner.uid)],
    }


def _container(plan: PodPlan) -> dict[str, Any]:
    limits = plan.limits
    request = max(1, limits.cpu_millicores * plan.sandbox_class.cpu_request_percent // 100)
    command = [
        RUNNER_PATH,
        "serve",
        f"--listen=:{keys.RUNNER_PORT}",
        f"--workspace={WORKSPACE}",
        f"--state-dir={_STATE_DIR}",
        f"--output-dir={_OUTPUT_DIR}",
        "--tmp-dir=/tmp",
        f"--max-concurrent={plan.concurrency}",
        f"--max-unreleased={_MAX_UNRELEASED + plan.concurrency}",
        f"--disk-limit-bytes={limits.disk_bytes}",
        f"--memory-limit-bytes={limits.memory_bytes}",
    ]
    if plan.one_shot:
        command.append("--one-shot")
    if plan.sandbox_class.require_enforcement:
        # A runner of an older image refuses the flag, and starts nothing.
        command.append("--require-enforcement")
    if plan.sandbox_class.log_output:
        command.append("--log-output")
    container: dict[str, Any] = {
        "name": keys.RUNNER_CONTAINER,
        "image": plan.sandbox_class.image,
        "command": command,
        "env": [
            {"name": "SOULBOX_PUBLIC_KEYS", "value": plan.public_keys},
            {
                "name": "SOULBOX_POD_UID",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}},
            },
            # A variable, for a runner of an older image refuses a flag it does not know.
            {"name": "SOULBOX_CPU_MILLICORES", "value": str(limits.cpu_millicores)},
        ],
        "ports": [{"name": "runner", "containerPort": keys.RUNNER_PORT}],
        "resources": {
            "limits": {
                "cpu": format_millicores(limits.cpu_millicores),
                "memory": format_bytes(limits.memory_bytes),
                "ephemeral-storage": format_bytes(_disk_limit_bytes(plan)),
            },
            "requests": {
                "cpu": format_millicores(request),
                "memory": format_bytes(limits.memory_bytes),
                "ephemeral-storage": format_bytes(_disk_request_bytes(plan)),
            },
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "workspace", "mountPath": WORKSPACE},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "state", "mountPath": _STATE_DIR},
            {"name": "output", "mountPath": _OUTPUT_DIR},
            *(identity_mounts() if plan.sandbox_class.pod_user is PodUser.OWN else ()),
        ],
        "workingDir": WORKSPACE,
        "terminationMessagePath": _CONTAINERS_MESSAGE,
        "terminationMessagePolicy": "File",
    }
    if plan.sandbox_class.image_pull_policy is not None:
        container["imagePullPolicy"] = plan.sandbox_class.image_pull_policy
    return container


def _volumes(plan: PodPlan) -> list[dict[str, Any]]:
    most = plan.sandbox_class.max
    kept = _MAX_UNRELEASED + plan.concurrency
    # Both streams, and the captured files together, each have the limit for themselves.
    output_bytes = 3 * most.output_bytes * kept + _OUTPUT_SLACK_BYTES
    in_memory = plan.sandbox_class.workspace_medium is WorkspaceMedium.MEMORY
    on_disk = plan.limits.disk_bytes + _EVICTION_SLACK_BYTES
    disk = plan.limits.disk_bytes if in_memory else on_disk
    workspace: dict[str, Any] = {"emptyDir": _empty_dir(disk, memory=in_memory)}
    if plan.claim is not None:
        workspace = {"persistentVolumeClaim": {"claimName": plan.claim}}
    identity = [identity_volume()] if plan.sandbox_class.pod_user is PodUser.OWN else []
    return [
        {"name": "workspace", **workspace},
        {"name": "tmp", "emptyDir": _empty_dir(on_disk)},
        # It counts as the pod's memory; the runtime's own has 64 MiB, whatever the pod has.
        {"name": "shm", "emptyDir": _empty_dir(plan.limits.memory_bytes, memory=True)},
        {"name": "state", "emptyDir": _empty_dir(_STATE_BYTES, memory=True)},
        {"name": "output", "emptyDir": _empty_dir(output_bytes)},
        *identity,
    ]


def _disk_request_bytes(plan: PodPlan) -> int:
    """What the scheduler and quotas count of the node's disk. Only a workspace can be large."""
    if plan.claim is not None or plan.sandbox_class.workspace_medium is WorkspaceMedium.MEMORY:
        return 0
    return plan.limits.disk_bytes * plan.sandbox_class.disk_request_percent // 100


def _disk_limit_bytes(plan: PodPlan) -> int:
    """Above all that its volumes may hold, each of which has a bound of its own: the sum is what
    a quota on limits asks for, and what a LimitRange's default would set too low."""
    sizes = [
        parse_bytes(volume["emptyDir"]["sizeLimit"])
        for volume in _volumes(plan)
        if "emptyDir" in volume and "medium" not in volume["emptyDir"]
    ]
    return sum(sizes) + _LOG_BYTES


def _empty_dir(size_bytes: int, *, memory: bool = False) -> dict[str, str]:
    volume = {"sizeLimit": format_bytes(size_bytes)}
    if memory:
        volume["medium"] = "Memory"
    return volume


def _toleration(toleration: Toleration) -> Mapping[str, Any]:
    fields = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
        "tolerationSeconds": toleration.toleration_seconds,
    }
    return {name: value for name, value in fields.items() if value is not None}
