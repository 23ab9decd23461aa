"""Reconciling SandboxClasses: their status, nothing else."""

from collections.abc import Callable

from soulbox.kinds.sandbox_class.decide.status import SeenClass, class_status
from soulbox.kinds.sandbox_class.spec import parse_sandbox_class
from soulbox.kube.resources import RUNTIME_CLASSES, SANDBOX_CLASSES
from soulbox.model.errors import InvalidManifest, KubeNotFound
from soulbox.model.specs import SandboxClassSpec
from soulbox.model.states import Kind, SandboxState
from soulbox.reconcile.services import Services

# A RuntimeClass is not watched: one that is missing is looked for again after so long.
_LOOK_AGAIN_SECONDS = 60.0


class ClassReconciler:
    """One pass at a time for each uid (the queue sees to that)."""

    def __init__(
        self, services: Services, users: Callable[[str], list[tuple[Kind, str]]] | None
    ) -> None:
        """Args:
        users: what uses the class of that name. None: not every namespace is served, so that
            the Sandboxes of a class cannot be counted.
        """
        self._services = services
        self._users = users

    async def reconcile(self, uid: str) -> float | None:
        """Observe, decide, write. Returns seconds after which to look again, or None.

        Raises Retryable when the API server cannot answer now.
        """
        services = self._services
        manifest = services.cache.get(Kind.SANDBOX_CLASS, uid)
        if manifest is None or manifest["metadata"].get("deletionTimestamp"):
            return None
        metadata = manifest["metadata"]
        spec = services.specs.of(manifest, parse_sandbox_class)
        seen = SeenClass(
            name=metadata["name"],
            generation=metadata.get("generation", 1),
            status=manifest.get("status") or {},
            spec=spec,
            has_runtime_class=await self._has_runtime_class(spec),
            sandboxes=self._sandboxes(metadata["name"]),
        )
        status = class_status(seen, services.clock.now())
        if status is not None:
            body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": status}
            updated = await services.kube.patch(
                SANDBOX_CLASSES, metadata["name"], body, subresource="status"
            )
            services.saw(Kind.SANDBOX_CLASS, updated)
        return None if seen.has_runtime_class else _LOOK_AGAIN_SECONDS

    async def _has_runtime_class(self, spec: SandboxClassSpec | InvalidManifest) -> bool:
        if isinstance(spec, InvalidManifest) or spec.runtime_class_name is None:
            return True
        try:
            await self._services.kube.get(RUNTIME_CLASSES, spec.runtime_class_name)
        except KubeNotFound:
            return False
        return True

    def _sandboxes(self, class_name: str) -> int | None:
        if self._users is None:
            return None
        cache = self._services.cache
        states = [
            ((cache.get(kind, uid) or {}).get("status") or {}).get("state")
            for kind, uid in self._users(class_name)
            if kind is Kind.SANDBOX
        ]
        return sum(1 for state in states if state != SandboxState.TERMINATED.value)
