"""Carrying out the actions that both kinds of reconcilers know."""

from collections.abc import Mapping
from typing import Any, assert_never

from soulbox.model.states import Kind
from soulbox.pure.actions import (
    AddFinalizer,
    AskWhyPending,
    DeletePod,
    EnsureNetworkPolicy,
    PostEvent,
    ProbeRunner,
    ReleasePod,
    RemoveFinalizer,
    SharedAction,
)
from soulbox.reconcile.probe import RunnerProbe
from soulbox.reconcile.services import Services
from soulbox.reconcile.writes import (
    add_finalizer,
    ask_why_pending,
    delete_pod,
    ensure_network_policy,
    release_pod,
    remove_finalizer,
)


async def apply_shared(
    services: Services,
    probe: RunnerProbe,
    kind: Kind,
    action: SharedAction,
    manifest: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Carry out one action on a Sandbox or an Execution; the object as it is afterwards."""
    metadata = manifest["metadata"]
    match action:
        case AddFinalizer():
            return await add_finalizer(services, kind, manifest)
        case RemoveFinalizer():
            await remove_finalizer(services, kind, manifest)
        case EnsureNetworkPolicy():
            restored = await ensure_network_policy(services, metadata["namespace"], action.profile)
            if restored is not None:
                services.events.post(manifest, kind, _restored(restored))
        case DeletePod():
            await delete_pod(services, action.pod_uid, action.grace_seconds)
        case ReleasePod():
            await release_pod(services, action.pod_uid)
        case ProbeRunner():
            pod = services.cache.get(Kind.POD, action.pod_uid)
            if pod is not None:
                probe.probe(pod, (kind, metadata["uid"]))
        case AskWhyPending():
            await ask_why_pending(services, action.pod_uid, (kind, metadata["uid"]))
        case PostEvent():
            services.events.post(manifest, kind, action)
        case _ as never:
            assert_never(never)
    return manifest


def _restored(policy: str) -> PostEvent:
    return PostEvent(
        type="Warning",
        reason="NetworkPolicyRestored",
        message=(
            f'NetworkPolicy "{policy}" did not say what the network profile says: somebody made '
            "or changed it. It was put right before the pod was made."
        ),
        action="Reconcile",
    )
