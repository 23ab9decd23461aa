"""Whom a pod concerns: the object it was made for, and the runs in it."""

from collections.abc import Callable

from soulbox.kinds.base import Follower, Unfinished, Waker
from soulbox.kinds.pod.index import PodIndex
from soulbox.kube.cache import Lookup
from soulbox.model.manifests import Manifest, is_deleting
from soulbox.model.marks import is_dispatched
from soulbox.model.owners import Owner, pod_owner
from soulbox.model.states import Kind


class PodFollower(Follower):
    """See `kinds.base.Follower`."""

    def __init__(
        self, objects: Lookup, pods: PodIndex, unfinished: Unfinished, waker: Waker
    ) -> None:
        self._objects = objects
        self._pods = pods
        self._unfinished = unfinished
        self._waker = waker

    def wake(self, manifest: Manifest) -> None:
        """Its owner, and the runs that were handed to it."""
        self._wake_owner(self._owner(manifest), manifest["metadata"]["namespace"])

    def leaving(self, manifest: Manifest) -> Callable[[Manifest], None]:
        """The owner is known by the cache alone where the pod names none any more."""
        owner = self._owner(manifest)
        return lambda last: self._wake_owner(owner, last["metadata"]["namespace"])

    def _owner(self, pod: Manifest) -> Owner | None:
        """Whose a pod is. The last version of one may say it by its label alone, and be gone from
        the cache already; that a tenant's pod is deleted costs somebody a look at most."""
        owner = self._pods.owner_of(pod)
        if owner is None and is_deleting(pod):
            owner = pod_owner(pod)
        return owner

    def _wake_owner(self, owner: Owner | None, namespace: str) -> None:
        if owner is None:
            return
        self._waker.add(owner.kind, owner.uid)
        if owner.kind is not Kind.SANDBOX:
            return
        sandbox = self._objects.get(Kind.SANDBOX, owner.uid)
        name = owner.name if sandbox is None else sandbox["metadata"]["name"]
        for execution in self._unfinished(namespace, name):
            if is_dispatched(execution):
                self._waker.add(Kind.EXECUTION, execution["metadata"]["uid"])
