"""Pods by the object they were made for."""

from collections import defaultdict
from typing import Any

from soulbox.kinds.base import discard
from soulbox.kube.cache import Lookup
from soulbox.model.kinds import POD_OWNERS
from soulbox.model.manifests import Manifest, has_recorded, owners_of
from soulbox.model.owners import Owner, pod_owner, referenced_owner
from soulbox.model.states import Kind


class PodIndex:
    """An index of the cache."""

    def __init__(self, objects: Lookup) -> None:
        self._objects = objects
        self._pods_of: defaultdict[str, set[str]] = defaultdict(set)
        # Of pods that have our finalizer, and no owner reference (any more).
        self._labelled: dict[str, Owner] = {}

    def put(self, uid: str, manifest: Manifest, before: Manifest | None) -> None:
        """Its owner's it stays, whatever is taken off it later."""
        del before
        if referenced_owner(manifest) is None and has_recorded(manifest):
            owner = pod_owner(manifest)
            if owner is not None:
                self._labelled[uid] = owner
        owner = self.owner_of(manifest)
        if owner is not None:
            self._pods_of[owner.uid].add(uid)

    def remove(self, uid: str, manifest: Manifest) -> None:
        """Forget it."""
        for owner in _possible_owners(manifest):
            discard(self._pods_of, owner, uid)
        self._labelled.pop(uid, None)

    def of(self, owner_uid: str, namespace: str | None = None) -> list[Manifest]:
        """Pods of that object, by creation and name.

        Args:
            namespace: the owner's; None where that is not known. A pod that names an owner in
                another namespace is a tenant's, and not the owner's.
        """
        owned = self._pods_of.get(owner_uid, ())
        found = [
            pod
            for uid in owned
            if (pod := self._objects.get(Kind.POD, uid)) is not None
            and namespace in (None, pod["metadata"]["namespace"])
        ]
        return sorted(found, key=_age)

    def owner_of(self, pod: Manifest) -> Owner | None:
        """Whose a pod in the cache is, None: nobody's that we know. Our label alone counts only
        on a pod that had our finalizer: a tenant may write it on a pod of their own."""
        return referenced_owner(pod) or self._labelled.get(pod["metadata"]["uid"])


def _age(pod: Manifest) -> tuple[Any, Any]:
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _possible_owners(manifest: Manifest) -> list[str]:
    """UIDs under which a pod may have been indexed by this version or an earlier one."""
    labels = manifest["metadata"].get("labels") or {}
    return [
        *(uid for _, uid, _ in owners_of(manifest)),
        *(str(labels[one.owner_label]) for one in POD_OWNERS if one.owner_label in labels),
    ]
