"""The PersistentVolumeClaim of a Sandbox whose workspace outlives its pods."""

from dataclasses import dataclass
from typing import Any

from soulbox.model import keys
from soulbox.model.manifests import reference_to
from soulbox.model.states import Kind
from soulbox.pure.pods.names import pod_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPlan:
    """What a claim is built from."""

    sandbox_uid: str
    sandbox_name: str
    namespace: str
    size_bytes: int
    storage_class_name: str | None  # None: the cluster's default; "": a volume made by hand


def claim_name(sandbox_name: str, sandbox_uid: str) -> str:
    """Name of a Sandbox's claim: one for all its pods, so incarnation 0, which no pod has."""
    return pod_name(sandbox_name, sandbox_uid, 0)


def build_claim(plan: ClaimPlan) -> dict[str, Any]:
    """The manifest to create. The claim is the Sandbox's own and goes with it; one node at a
    time mounts it, and so does one pod: the next is made when the last has ended."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(plan.size_bytes)}},
    }
    if plan.storage_class_name is not None:
        spec["storageClassName"] = plan.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name(plan.sandbox_name, plan.sandbox_uid),
            "namespace": plan.namespace,
            "labels": {
                keys.MANAGED_BY_LABEL: keys.MANAGED_BY,
                keys.SANDBOX_UID_LABEL: plan.sandbox_uid,
            },
            "ownerReferences": [reference_to(Kind.SANDBOX, plan.sandbox_name, plan.sandbox_uid)],
        },
        "spec": spec,
    }
