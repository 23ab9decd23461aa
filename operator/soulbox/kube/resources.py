"""The resources the operator speaks to, as paths of the API server."""

from dataclasses import dataclass
from typing import Final

from soulbox.model.keys import GROUP, VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource: what is needed to build its URL and to label its metrics."""

    kind: str
    plural: str
    version: str
    group: str = ""  # "" is the core group
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """URL path of the collection (no name) or of one object.

        `namespace` None means all namespaces, or a cluster-scoped resource.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/".join(parts)


SANDBOXES: Final = Resource(kind="Sandbox", plural="sandboxes", group=GROUP, version=VERSION)
EXECUTIONS: Final = Resource(kind="Execution", plural="executions", group=GROUP, version=VERSION)
SANDBOX_CLASSES: Final = Resource(
    kind="SandboxClass", plural="sandboxclasses", group=GROUP, version=VERSION, namespaced=False
)
PODS: Final = Resource(kind="Pod", plural="pods", version="v1")
NAMESPACES: Final = Resource(kind="Namespace", plural="namespaces", version="v1", namespaced=False)
SECRETS: Final = Resource(kind="Secret", plural="secrets", version="v1")
CONFIG_MAPS: Final = Resource(kind="ConfigMap", plural="configmaps", version="v1")
NETWORK_POLICIES: Final = Resource(
    kind="NetworkPolicy", plural="networkpolicies", group="networking.k8s.io", version="v1"
)
EVENTS: Final = Resource(kind="Event", plural="events", group="events.k8s.io", version="v1")
LEASES: Final = Resource(kind="Lease", plural="leases", group="coordination.k8s.io", version="v1")
CRDS: Final = Resource(
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    group="apiextensions.k8s.io",
    version="v1",
    namespaced=False,
)
