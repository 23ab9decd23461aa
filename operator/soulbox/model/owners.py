"""Whose a pod is: the Sandbox, or the one-shot Execution, that it was made for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soulbox.model.keys import OWNER_NAME_ANNOTATION
from soulbox.model.kinds import POD_OWNERS
from soulbox.model.manifests import owners_of
from soulbox.model.states import Kind

_OWNERS = {info.kind.value: info.kind for info in POD_OWNERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Which object a pod belongs to; it need not exist any more."""

    kind: Kind
    uid: str
    name: str  # "" where the pod does not say


def pod_owner(manifest: Mapping[str, Any]) -> Owner | None:
    """The owner by the owner reference, else by our label; None when neither names one.

    The reference comes first: garbage collection checks it. It also takes it away, though
    (`kubectl delete --cascade=orphan`), and so may anyone who can edit the pod.
    """
    return referenced_owner(manifest) or _labelled_owner(manifest)


def referenced_owner(manifest: Mapping[str, Any]) -> Owner | None:
    """The owner by the owner reference alone."""
    for kind, uid, name in owners_of(manifest):
        if kind in _OWNERS:
            return Owner(kind=_OWNERS[kind], uid=uid, name=name)
    return None


def _labelled_owner(manifest: Mapping[str, Any]) -> Owner | None:
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    for info in POD_OWNERS:
        uid = labels.get(info.owner_label)
        if uid:
            name = str(annotations.get(OWNER_NAME_ANNOTATION) or "")
            return Owner(kind=info.kind, uid=str(uid), name=name)
    return None
