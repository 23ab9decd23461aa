"""The newest object seen of each uid: what reconcilers observe instead of asking again.

Fed by the watches and by the replies to our own writes (so that a pass sees what the
last one wrote even before the watch does). Lookups by name, by owner and by sandbox are
indexes, because a namespace may hold thousands of objects. Nothing here does I/O.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from soulbox.kube.packed import PackedObjects
from soulbox.model.kinds import WATCHED
from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind

Name = tuple[str, str]  # (namespace or "", name)


def is_older(resource_version: str, than: str) -> bool:
    """Whether one resourceVersion of an object is older than another of the same uid.

    Opaque by the API conventions, yet comparable as integers since Kubernetes 1.35 by
    promise (KEP-5504) and always in practice with etcd.
    """
    try:
        return int(resource_version) < int(than)
    except ValueError:
        return False


class Lookup(Protocol):
    """The part of the cache that its indexes use."""

    def get(self, kind: Kind, uid: str) -> Manifest | None:
        """The newest object of that uid, None if unknown."""
        ...


class Index(Protocol):
    """Something that is looked up in the objects of one kind."""

    def put(self, uid: str, manifest: Manifest, before: Manifest | None) -> None:
        """The cache has this version now; `before` it had that one, None: it knew none."""
        ...

    def remove(self, uid: str, manifest: Manifest) -> None:
        """The cache has forgotten the object, of which this was the last version."""
        ...


class ObjectCache:
    """Last-seen objects by kind and uid. For one event loop; not thread-safe."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[str, Manifest] | PackedObjects] = {
            info.kind: PackedObjects() if info.is_packed else {} for info in WATCHED
        }
        self._uids: dict[tuple[Kind, Name], str] = {}
        self._indexes: defaultdict[Kind, list[Index]] = defaultdict(list)

    def follow(self, kind: Kind, index: Index) -> None:
        """Tell the index of each object of the kind from now on."""
        self._indexes[kind].append(index)

    def put(self, kind: Kind, manifest: Manifest) -> bool:
        """Keep the object if it is newer than the one at hand; tell whether it was. The same
        version again is what our own write brought before."""
        metadata = manifest["metadata"]
        uid: str = metadata["uid"]
        if _is_removed(kind, metadata):
            self.remove(kind, uid)
            return True
        known = self._objects[kind].get(uid)
        if known is not None:
            version, known_version = (
                metadata["resourceVersion"],
                known["metadata"]["resourceVersion"],
            )
            if version == known_version or is_older(version, known_version):
                return False
        self._objects[kind][uid] = manifest
        name = (metadata.get("namespace", ""), metadata["name"])
        if not self._is_of_newer(kind, name, metadata):
            self._uids[kind, name] = uid
        for index in self._indexes[kind]:
            index.put(uid, manifest, known)
        return True

    def _is_of_newer(self, kind: Kind, name: Name, metadata: Mapping[str, Any]) -> bool:
        """Whether the name is another object's by now, made after this version: a reply about
        one that was deleted meanwhile comes later than the watch's news of its successor."""
        holder = self._objects[kind].get(self._uids.get((kind, name), ""))
        if holder is None or holder["metadata"]["uid"] == metadata["uid"]:
            return False
        return is_older(metadata["resourceVersion"], holder["metadata"]["resourceVersion"])

    def remove(self, kind: Kind, uid: str) -> Manifest | None:
        """Forget an object; the last one seen, None when there was none."""
        manifest = self._objects[kind].pop(uid, None)
        if manifest is None:
            return None
        metadata = manifest["metadata"]
        name = (metadata.get("namespace", ""), metadata["name"])
        if self._uids.get((kind, name)) == uid:
            del self._uids[kind, name]
        for index in self._indexes[kind]:
            index.remove(uid, manifest)
        return manifest

    def get(self, kind: Kind, uid: str) -> Manifest | None:
        """The newest object of that uid, None if unknown."""
        return self._objects[kind].get(uid)

    def by_name(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """The object of that name now (namespace "" for cluster-scoped kinds)."""
        uid = self._uids.get((kind, (namespace, name)))
        return None if uid is None else self._objects[kind].get(uid)

    def namespace_deletion_time(self, namespace: str) -> str | None:
        """When a namespace's deletion was asked for, None: it was not."""
        manifest = self.by_name(Kind.NAMESPACE, "", namespace)
        found = None if manifest is None else manifest["metadata"].get("deletionTimestamp")
        return None if found is None else str(found)

    def within(self, namespace: str) -> list[tuple[Kind, str]]:
        """Everything in a namespace, as (kind, uid)."""
        return [(kind, uid) for (kind, (where, _)), uid in self._uids.items() if where == namespace]

    def names(self, kind: Kind, uid: str) -> dict[str, str]:
        """Namespace and name of an object, for the log; nothing of one that is not known."""
        manifest = self.get(kind, uid)
        if manifest is None:
            return {}
        metadata = manifest["metadata"]
        return {"namespace": str(metadata.get("namespace", "")), "name": str(metadata["name"])}

    def all(self, kind: Kind) -> Iterable[Manifest]:
        """Every object of a kind, in no particular order; do not change the cache meanwhile."""
        return self._objects[kind].values()

    def all_to_keep(self, kind: Kind) -> Iterable[Manifest]:
        """The same, to be kept: the objects share their memory with the cache, and do not change
        with it."""
        objects = self._objects[kind]
        return objects.packed() if isinstance(objects, PackedObjects) else objects.values()

    def count(self, kind: Kind) -> int:
        """How many objects of the kind are known."""
        return len(self._objects[kind])


def _is_removed(kind: Kind, metadata: Mapping[str, Any]) -> bool:
    """Whether this is the reply to our own last patch, with which the API server removed the
    object. A pod without finalizers stays until the kubelet confirms (grace period 0), a
    Namespace, whose finalizers are in its spec, until nothing is left in it."""
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if kind is Kind.NAMESPACE:
        return False
    return kind is not Kind.POD or metadata.get("deletionGracePeriodSeconds") == 0
