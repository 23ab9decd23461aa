"""`spec.networkProfiles` and `spec.network` of a SandboxClass."""

from typing import Annotated, Literal

from pydantic import Field

from soulbox.schema.common import (
    ATOMIC,
    PROFILE_PATTERN,
    ApiModel,
    cel,
    validations,
)


class EgressPort(ApiModel):
    """Ports of one protocol."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port, or the first of a range.")]
    end_port: Annotated[
        int | None, Field(ge=1, le=65535, description="Last port of the range.")
    ] = None
    protocol: Annotated[Literal["TCP", "UDP"], Field(description="TCP or UDP. Default: TCP.")] = (
        "TCP"
    )


class DnsServers(ApiModel):
    """Which pods are the cluster's DNS servers."""

    namespace: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            pattern=PROFILE_PATTERN,
            description="Their namespace, such as openshift-dns.",
        ),
    ] = "kube-system"
    pod_labels: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]],
        Field(
            default_factory=lambda: {"k8s-app": "kube-dns"},
            min_length=1,
            max_length=8,
            description="Labels that they all have. Default: k8s-app: kube-dns.",
            json_schema_extra={"default": {"k8s-app": "kube-dns"}},
        ),
    ]
    cidrs: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(
            default_factory=lambda: ["169.254.20.10/32"],
            max_length=4,
            description=(
                "Where a DNS cache on each node listens. Default: 169.254.20.10/32, NodeLocal"
                " DNSCache."
            ),
            json_schema_extra={
                **ATOMIC,
                "default": ["169.254.20.10/32"],
                **validations(
                    cel(
                        "self.all(x, isCIDR(x))",
                        "dnsServers has a cidr that is not a range of addresses: write it as"
                        " 169.254.25.10/32",
                    )
                ),
            },
        ),
    ]


class Egress(ApiModel):
    """A destination that may be reached: a range of addresses, or the cluster's DNS."""

    cidr: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            description="Range of addresses, such as 10.1.0.0/16. Exactly one of cidr and dns.",
        ),
    ] = None
    except_: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(
            alias="except",
            default_factory=list,
            max_length=16,
            description="Ranges within cidr that may not be reached.",
            json_schema_extra=ATOMIC,
        ),
    ]
    ports: Annotated[
        list[EgressPort],
        Field(
            default_factory=list,
            max_length=16,
            description="Ports that may be reached there. Default: all; with dns, port 53 (UDP and"
            " TCP).",
            json_schema_extra={
                **ATOMIC,
                **validations(
                    cel(
                        "self.all(p, !has(p.endPort) || p.endPort >= p.port)",
                        "networkProfiles has an endPort below its port: give the last port of the"
                        " range, or leave endPort out",
                    )
                ),
            },
        ),
    ]
    dns: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description="true: the cluster's DNS may be reached; dnsServers says where it is.",
        ),
    ]
    dns_servers: Annotated[
        DnsServers | None,
        Field(
            description=(
                "Which pods are the cluster's DNS, with dns: true. Default: those of kube-system"
                " with k8s-app: kube-dns, and NodeLocal DNSCache. OpenShift: namespace"
                " openshift-dns, podLabels dns.operator.openshift.io/daemonset-dns: default,"
                " ports 5353."
            )
        ),
    ] = None


class NetworkProfile(ApiModel):
    """What a sandbox of this profile may reach. The cluster's network plugin enforces it."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            pattern=PROFILE_PATTERN,
            description="The name that Sandboxes give in network.",
        ),
    ]
    egress: Annotated[
        list[Egress],
        Field(
            default_factory=list,
            max_length=16,
            description="What may be reached; everything else is forbidden.",
            json_schema_extra={
                **ATOMIC,
                **validations(
                    cel(
                        "self.all(e, has(e.cidr) != (has(e.dns) && e.dns))",
                        "networkProfiles has a rule that needs exactly one of cidr and dns:"
                        " set one and remove the other",
                    ),
                    cel(
                        "self.all(e, !has(e.dnsServers) || (has(e.dns) && e.dns))",
                        "networkProfiles has dnsServers without dns: true: set it, or remove them",
                    ),
                    cel(
                        "self.all(e, !has(e.cidr) || isCIDR(e.cidr))",
                        "networkProfiles has a cidr that is not a range of addresses:"
                        " write it as 10.1.0.0/16",
                    ),
                    cel(
                        "self.all(e, !has(e.cidr) || !isCIDR(e.cidr) || !has(e.except) ||"
                        " e.except.all(x, isCIDR(x) && cidr(e.cidr).containsCIDR(x)))",
                        "networkProfiles has an except that does not lie within its cidr:"
                        " correct or remove it",
                    ),
                ),
            },
        ),
    ]


class ClassNetwork(ApiModel):
    """What holds for the network of every pod of the class."""

    require_enforcement: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "true: no code starts in a pod until its runner has seen that the pod's"
                " NetworkPolicy is in force; without it code may get out in a pod's first second,"
                " and for good where the cluster's network plugin enforces no policies. Costs a"
                " third of a second at a pod's start. What is not seen within"
                " enforcement_wait_seconds ends as NetworkNotEnforced."
            ),
        ),
    ]
