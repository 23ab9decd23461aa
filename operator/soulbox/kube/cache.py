"""The newest object seen of each uid: what reconcilers observe instead of asking again.

Fed by the watches and by the replies to our own writes (so that a pass sees what the
last one wrote even before the watch does). Lookups by name, by owner and by sandbox are
indexes, because a namespace may hold thousands of objects. Nothing here does I/O.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from soulbox.kube.packed import PackedObjects
from soulbox.model.kinds import POD_OWNERS, TENANTS, WATCHED
from soulbox.model.manifests import class_name, has_recorded, is_finished, owners_of, sandbox_ref
from soulbox.model.marks import dispatch_mark
from soulbox.model.owners import Owner, pod_owner, referenced_owner
from soulbox.model.states import Kind

Manifest = Mapping[str, Any]
Name = tuple[str, str]  # (namespace or "", name)


_TENANTS: Final = frozenset(info.kind for info in TENANTS)


def is_older(resource_version: str, than: str) -> bool:
    """Whether one resourceVersion of an object is older than another of the same uid.

    Opaque by the API conventions, yet comparable as integers since Kubernetes 1.35 by
    promise (KEP-5504) and always in practice with etcd.
    """
    try:
        return int(resource_version) < int(than)
    except ValueError:
        return False


class ObjectCache:
    """Last-seen objects by kind and uid. For one event loop; not thread-safe."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[str, Manifest] | PackedObjects] = {
            info.kind: PackedObjects() if info.is_packed else {} for info in WATCHED
        }
        self._uids: dict[tuple[Kind, Name], str] = {}
        self._pods_of: defaultdict[str, set[str]] = defaultdict(set)
        # Of pods that have our finalizer, and no owner reference (any more).
        self._labelled: dict[str, Owner] = {}
        # Unfinished Executions by the sandbox they name, in order of arrival (a dict used
        # as an ordered set): creationTimestamp has whole seconds and cannot order them.
        self._waiting: defaultdict[Name, dict[str, None]] = defaultdict(dict)
        self._unsorted: set[Name] = set()
        # When each queue last changed in what its order depends on, as a growing count.
        self._queue_changed: dict[Name, int] = {}
        self._changes = 0
        # All Executions by the sandbox they name, finished ones too, for its counters.
        self._naming: defaultdict[Name, set[str]] = defaultdict(set)
        self._by_class: defaultdict[str, set[tuple[Kind, str]]] = defaultdict(set)

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
        if kind is Kind.POD:
            self._index_pod(uid, manifest)
        elif kind is Kind.EXECUTION:
            self._index_execution(uid, name[0], manifest)
            if known is None or _queue_facts(known) != _queue_facts(manifest):
                self._queue_changes(name[0], manifest)
        elif kind is Kind.SANDBOX:
            self._by_class[class_name(manifest)].add((kind, uid))
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
        if kind is Kind.POD:
            for owner in _possible_owners(manifest):
                self._discard(self._pods_of, owner, uid)
            self._labelled.pop(uid, None)
        elif kind is Kind.EXECUTION:
            self._forget_waiting(uid, name[0], manifest)
            self._queue_changes(name[0], manifest)
            self._discard(self._naming, (name[0], sandbox_ref(manifest)), uid)
        self._discard(self._by_class, class_name(manifest), (kind, uid))
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
        """What tenants made in a namespace, as (kind, uid)."""
        return [
            (kind, uid)
            for (kind, (where, _)), uid in self._uids.items()
            if where == namespace and kind in _TENANTS
        ]

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
        """The same for who keeps them: they share their memory with the cache, and do not
        change with it."""
        objects = self._objects[kind]
        return objects.packed() if isinstance(objects, PackedObjects) else objects.values()

    def count(self, kind: Kind) -> int:
        """How many objects of the kind are known."""
        return len(self._objects[kind])

    def pods_of(self, owner_uid: str, namespace: str | None = None) -> list[Manifest]:
        """Pods of that Sandbox or Execution, by creation and name.

        Args:
            namespace: the owner's; None where that is not known. A pod that names an owner in
                another namespace is a tenant's, and not the owner's.
        """
        pods = self._objects[Kind.POD]
        owned = self._pods_of.get(owner_uid, ())
        found = [
            pod
            for uid in owned
            if (pod := pods.get(uid)) is not None
            and namespace in (None, pod["metadata"]["namespace"])
        ]
        return sorted(
            found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"])
        )

    def owner_of(self, pod: Manifest) -> Owner | None:
        """Whose a pod in the cache is, None: nobody's whom we know. Our label alone counts on a
        pod that had our finalizer only: a tenant may write it on a pod of his own."""
        return referenced_owner(pod) or self._labelled.get(pod["metadata"]["uid"])

    def unfinished(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """Unfinished Executions that name the sandbox, first come first. Do not change the
        cache while going through them."""
        executions = self._objects[Kind.EXECUTION]
        key = (namespace, sandbox_name)
        if key in self._unsorted:
            self._unsorted.discard(key)
            order = sorted(self._waiting.get(key, ()), key=self._created)
            self._waiting[key] = dict.fromkeys(order)
        for uid in self._waiting.get(key, ()):
            manifest = executions.get(uid)
            if manifest is not None:
                yield manifest

    def queue_version(self, namespace: str, sandbox_name: str) -> int:
        """Changes when the sandbox's queue does: who waits, and who was handed over."""
        return self._queue_changed.get((namespace, sandbox_name), 0)

    def naming(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """All Executions that name the sandbox, in no particular order."""
        executions = self._objects[Kind.EXECUTION]
        for uid in self._naming.get((namespace, sandbox_name), ()):
            if uid in executions:
                yield executions[uid]

    def users_of_class(self, class_name: str) -> list[tuple[Kind, str]]:
        """Sandboxes and unfinished one-shot Executions of a class, as (kind, uid)."""
        return sorted(self._by_class.get(class_name, ()))

    def _index_pod(self, uid: str, manifest: Manifest) -> None:
        """Its owner's it stays, whatever is taken off it later."""
        if referenced_owner(manifest) is None and has_recorded(manifest):
            owner = pod_owner(manifest)
            if owner is not None:
                self._labelled[uid] = owner
        owner = self.owner_of(manifest)
        if owner is not None:
            self._pods_of[owner.uid].add(uid)

    def _index_execution(self, uid: str, namespace: str, manifest: Manifest) -> None:
        final = is_finished(manifest)
        reference = sandbox_ref(manifest)
        if reference is not None:
            self._naming[namespace, reference].add(uid)
            if final:
                self._forget_waiting(uid, namespace, manifest)
            else:
                self._append(uid, (namespace, reference))
        elif final:
            self._discard(self._by_class, class_name(manifest), (Kind.EXECUTION, uid))
        else:
            self._by_class[class_name(manifest)].add((Kind.EXECUTION, uid))

    def _queue_changes(self, namespace: str, manifest: Manifest) -> None:
        reference = sandbox_ref(manifest)
        if reference is None:
            return
        key = (namespace, reference)
        self._changes += 1
        if key in self._waiting:
            self._queue_changed[key] = self._changes
        else:
            self._queue_changed.pop(key, None)

    def _append(self, uid: str, sandbox: Name) -> None:
        """Put an Execution at the end of its queue, to be sorted when next looked at if an
        older one comes late: a list comes in order of names."""
        queue = self._waiting[sandbox]
        if uid in queue:
            return
        last = next(reversed(queue), None)
        queue[uid] = None
        if last is not None and self._created(uid) < self._created(last):
            self._unsorted.add(sandbox)

    def _created(self, uid: str) -> str:
        execution = self._objects[Kind.EXECUTION].get(uid)
        return "" if execution is None else str(execution["metadata"]["creationTimestamp"])

    def _forget_waiting(self, uid: str, namespace: str, manifest: Manifest) -> None:
        reference = sandbox_ref(manifest)
        if reference is None:
            return
        queue = self._waiting.get((namespace, reference))
        if queue is not None:
            queue.pop(uid, None)
            if not queue:
                del self._waiting[namespace, reference]
                self._unsorted.discard((namespace, reference))

    @staticmethod
    def _discard(index: "defaultdict[Any, Any]", key: object, value: object) -> None:
        members = index.get(key)
        if members is not None:
            members.discard(value)
            if not members:
                del index[key]


def _queue_facts(execution: Manifest) -> tuple[Any, ...]:
    """What an Execution's place in its queue depends on beside its immutable spec."""
    metadata = execution["metadata"]
    return dispatch_mark(metadata), "deletionTimestamp" in metadata, is_finished(execution)


def _is_removed(kind: Kind, metadata: Mapping[str, Any]) -> bool:
    """Whether this is the reply to our own last patch, with which the API server removed the
    object. A pod without finalizers stays until the kubelet confirms (grace period 0), a
    Namespace, whose finalizers are in its spec, until nothing is left in it."""
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if kind is Kind.NAMESPACE:
        return False
    return kind is not Kind.POD or metadata.get("deletionGracePeriodSeconds") == 0


def _possible_owners(manifest: Manifest) -> list[str]:
    """UIDs under which a pod may have been indexed by this version or an earlier one."""
    labels = manifest["metadata"].get("labels") or {}
    return [
        *(uid for _, uid, _ in owners_of(manifest)),
        *(str(labels[one.owner_label]) for one in POD_OWNERS if one.owner_label in labels),
    ]
