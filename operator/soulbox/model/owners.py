"""Whose a pod is: the Sandbox, or the one-shot Execution, that it was made for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soulbox.model.keys import (
    EXECUTION_UID_LABEL,
    GROUP,
    OWNER_NAME_ANNOTATION,
    RECORDED_FINALIZER,
    SANDBOX_UID_LABEL,
)
from soulbox.model.states import Kind

_OWNERS = (Kind.SANDBOX, Kind.EXECUTION)
_LABELS = ((Kind.SANDBOX, SANDBOX_UID_LABEL), (Kind.EXECUTION, EXECUTION_UID_LABEL))


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Which object a pod belongs to; it need not exist any more."""

    kind: Kind
    uid: str
    name: str  # "" where the pod does not say


def pod_owner(manifest: Mapping[str, Any]) -> Owner | None:
    """The owner by the owner reference, else by our label; None when neither names one.

    The reference comes first: garbage collection checks it. It also takes it away, though
    (`kubectl delete --cascade=orphan`), and so may whoever edits the pod.
    """
    return referenced_owner(manifest) or _labelled_owner(manifest)


def referenced_owner(manifest: Mapping[str, Any]) -> Owner | None:
    """The owner by the owner reference alone."""
    for reference in manifest["metadata"].get("ownerReferences") or ():
        group = str(reference.get("apiVersion")).partition("/")[0]
        if group == GROUP and reference.get("kind") in _OWNERS:
            return Owner(
                kind=Kind(reference["kind"]),
                uid=str(reference.get("uid")),
                name=str(reference.get("name")),
            )
    return None


def _labelled_owner(manifest: Mapping[str, Any]) -> Owner | None:
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    for kind, label in _LABELS:
        if labels.get(label):
            name = str(annotations.get(OWNER_NAME_ANNOTATION) or "")
            return Owner(kind=kind, uid=str(labels[label]), name=name)
    return None


def is_kept_for_record(manifest: Mapping[str, Any]) -> bool:
    """Whether an object has our finalizer: of a pod, that the operator made it. Anybody may
    write a label on a pod of his own."""
    return RECORDED_FINALIZER in (manifest["metadata"].get("finalizers") or ())
