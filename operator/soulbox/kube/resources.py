"""The resources the operator speaks to, as paths of the API server."""

from dataclasses import dataclass
from typing import Final

from soulbox.model import kinds


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


def resource_of(info: kinds.KindInfo) -> Resource:
    """The resource of a watched kind."""
    return Resource(
        kind=info.kind.value,
        plural=info.plural,
        version=info.version,
        group=info.group,
        namespaced=info.namespaced,
    )


SANDBOXES: Final = resource_of(kinds.SANDBOX)
EXECUTIONS: Final = resource_of(kinds.EXECUTION)
SANDBOX_CLASSES: Final = resource_of(kinds.SANDBOX_CLASS)
FUNCTIONS: Final = resource_of(kinds.FUNCTION)
PODS: Final = resource_of(kinds.POD)
NAMESPACES: Final = resource_of(kinds.NAMESPACE)
SERVICES: Final = Resource(kind="Service", plural="services", version="v1")
POD_METRICS: Final = Resource(
    kind="PodMetrics", plural="pods", group="metrics.k8s.io", version="v1beta1"
)
SECRETS: Final = Resource(kind="Secret", plural="secrets", version="v1")
CONFIG_MAPS: Final = Resource(kind="ConfigMap", plural="configmaps", version="v1")
NETWORK_POLICIES: Final = Resource(
    kind="NetworkPolicy", plural="networkpolicies", group="networking.k8s.io", version="v1"
)
CLAIMS: Final = Resource(
    kind="PersistentVolumeClaim", plural="persistentvolumeclaims", version="v1"
)
CONTROLLER_REVISIONS: Final = Resource(
    kind="ControllerRevision", plural="controllerrevisions", group="apps", version="v1"
)
EVENTS: Final = Resource(kind="Event", plural="events", group="events.k8s.io", version="v1")
# The same ones, with selectors for what they are about.
POD_EVENTS: Final = Resource(kind="Event", plural="events", version="v1")
LEASES: Final = Resource(kind="Lease", plural="leases", group="coordination.k8s.io", version="v1")
CRONJOBS: Final = Resource(kind="CronJob", plural="cronjobs", group="batch", version="v1")
SERVICE_MONITORS: Final = Resource(
    kind="ServiceMonitor", plural="servicemonitors", group="monitoring.coreos.com", version="v1"
)
PROMETHEUS_RULES: Final = Resource(
    kind="PrometheusRule", plural="prometheusrules", group="monitoring.coreos.com", version="v1"
)
CRDS: Final = Resource(
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    group="apiextensions.k8s.io",
    version="v1",
    namespaced=False,
)

# What `soulbox doctor` looks at with the rights of a person.
NODES: Final = Resource(kind="Node", plural="nodes", version="v1", namespaced=False)
RUNTIME_CLASSES: Final = Resource(
    kind="RuntimeClass",
    plural="runtimeclasses",
    group="node.k8s.io",
    version="v1",
    namespaced=False,
)
ADMISSION_POLICIES: Final = Resource(
    kind="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    group="admissionregistration.k8s.io",
    version="v1",
    namespaced=False,
)
ADMISSION_BINDINGS: Final = Resource(
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    group="admissionregistration.k8s.io",
    version="v1",
    namespaced=False,
)
ACCESS_REVIEWS: Final = Resource(
    kind="SubjectAccessReview",
    plural="subjectaccessreviews",
    group="authorization.k8s.io",
    version="v1",
    namespaced=False,
)

# What an installation consists of, for `soulbox uninstall`.
DEPLOYMENTS: Final = Resource(kind="Deployment", plural="deployments", group="apps", version="v1")
STATEFUL_SETS: Final = Resource(
    kind="StatefulSet", plural="statefulsets", group="apps", version="v1"
)
DISRUPTION_BUDGETS: Final = Resource(
    kind="PodDisruptionBudget", plural="poddisruptionbudgets", group="policy", version="v1"
)
SERVICE_ACCOUNTS: Final = Resource(kind="ServiceAccount", plural="serviceaccounts", version="v1")
_RBAC: Final = "rbac.authorization.k8s.io"
ROLES: Final = Resource(kind="Role", plural="roles", group=_RBAC, version="v1")
ROLE_BINDINGS: Final = Resource(
    kind="RoleBinding", plural="rolebindings", group=_RBAC, version="v1"
)
CLUSTER_ROLES: Final = Resource(
    kind="ClusterRole", plural="clusterroles", group=_RBAC, version="v1", namespaced=False
)
CLUSTER_ROLE_BINDINGS: Final = Resource(
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    group=_RBAC,
    version="v1",
    namespaced=False,
)
