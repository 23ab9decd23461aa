"""Pods whose Sandbox or Execution is gone, our finalizer still on them.

An owner goes before its pods when somebody took its finalizer off. Its pods then end and are
recorded as if it were there: else pod and namespace would wait for our finalizer for ever.
"""

from soulbox.model.errors import KubeNotFound
from soulbox.model.owners import Owner, pod_owner
from soulbox.pure.pods.view import PodPhase, view_pod
from soulbox.reconcile.services import Services
from soulbox.reconcile.writes import RESOURCES, delete_pod, release_pod


async def clear_orphans(services: Services, uid: str) -> None:
    """End the pods of an owner that the cache does not know, and let go of those recorded.
    What is left comes back with the news of its end, or with its record."""
    if uid in services.memory.farewells:
        return  # its code is being ended, and its output saved
    for manifest in services.pods.of(uid):
        owner = pod_owner(manifest)
        if owner is not None and await _lives(services, owner, manifest["metadata"]["namespace"]):
            return
        pod = view_pod(manifest)
        recorded = services.mirror.is_recorded(pod.uid)
        if not pod.deleting:
            await delete_pod(services, pod.uid, 0 if pod.phase is PodPhase.ENDED else None)
        if pod.has_finalizer and recorded and (pod.deleting or pod.phase is PodPhase.ENDED):
            await release_pod(services, pod.uid)


async def _lives(services: Services, owner: Owner, namespace: str) -> bool:
    """Whether the API server has the owner: the watch of its kind may be behind that of pods."""
    if not owner.name:
        return False
    try:
        found = await services.kube.get(RESOURCES[owner.kind], owner.name, namespace)
    except KubeNotFound:
        return False
    if found["metadata"]["uid"] != owner.uid:
        return False
    services.saw(owner.kind, found)
    services.enqueue(owner.kind, owner.uid)
    return True
