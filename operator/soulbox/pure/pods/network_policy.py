"""The NetworkPolicy of a namespace and profile, shared by its sandboxes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from soulbox.model import keys
from soulbox.model.specs import NO_NETWORK, DnsServers, Egress, NetworkProfile, Port

_HASH_CHARACTERS: Final = 8
_DNS_PORTS: Final = (Port(port=53, protocol="UDP"), Port(port=53))


def profile_key(profile: NetworkProfile) -> str:
    """What pods of a profile are labelled with: its name and a hash of what it says.

    Classes may have different profiles of one name, and a profile may change while pods of it
    run: each has a policy of its own, and none is ever changed.
    """
    if profile == NO_NETWORK:
        return profile.name
    # What a release adds does not count where it is not used: the policies stay the same.
    said = json.dumps(asdict(profile, dict_factory=_said_of), sort_keys=True).encode()
    return f"{profile.name}-{hashlib.sha256(said).hexdigest()[:_HASH_CHARACTERS]}"


def _said_of(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in fields if (name, value) != ("dns_servers", None)}


def policy_name(profile: NetworkProfile) -> str:
    """Name of the policy of a profile."""
    return f"soulbox-{profile_key(profile)}"


def correct_network_policy(
    found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The merge patch that makes a stored policy say what it should; None: it does already."""
    spec, labels = found.get("spec") or {}, found["metadata"].get("labels") or {}
    same_labels = wanted["metadata"]["labels"].items() <= labels.items()
    if _said(spec) == _said(wanted["spec"]) and same_labels:
        return None
    return {
        "metadata": {"labels": wanted["metadata"]["labels"]},
        "spec": _merge_patch(spec, wanted["spec"]),
    }


def _said(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Without empty lists, which the API server does not store."""
    return {name: value for name, value in spec.items() if value != []}


def _merge_patch(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386: what is not wanted is named with null."""
    patch: dict[str, Any] = {name: None for name in found if name not in wanted}
    for name, value in wanted.items():
        before = found.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            patch[name] = _merge_patch(before, value)
        else:
            patch[name] = value
    return patch


def build_network_policy(
    namespace: str, profile: NetworkProfile, operator_namespace: str
) -> dict[str, Any]:
    """Ingress only from the operator's pods to the runner's port; egress as the profile says,
    which is none for NO_NETWORK. Who enforces it is the cluster's network plugin."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(profile),
            "namespace": namespace,
            "labels": {keys.MANAGED_BY_LABEL: keys.MANAGED_BY},
        },
        "spec": {
            "podSelector": {
                "matchLabels": {
                    keys.MANAGED_BY_LABEL: keys.MANAGED_BY,
                    keys.NETWORK_PROFILE_LABEL: profile_key(profile),
                }
            },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [
                        {
                            "namespaceSelector": {
                                "matchLabels": {"kubernetes.io/metadata.name": operator_namespace}
                            },
                            "podSelector": {
                                "matchLabels": {"app.kubernetes.io/name": "soulbox-operator"}
                            },
                        }
                    ],
                    "ports": [{"protocol": "TCP", "port": keys.RUNNER_PORT}],
                }
            ],
            "egress": [_rule(egress) for egress in profile.egress],
        },
    }


def _rule(egress: Egress) -> dict[str, Any]:
    if egress.dns:
        return _dns_rule(egress)
    block: dict[str, Any] = {"cidr": egress.cidr}
    if egress.excluded:
        block["except"] = list(egress.excluded)
    rule: dict[str, Any] = {"to": [{"ipBlock": block}]}
    if egress.ports:
        rule["ports"] = [_port(port) for port in egress.ports]
    return rule


def _dns_rule(egress: Egress) -> dict[str, Any]:
    servers = egress.dns_servers or DnsServers()
    pods = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": servers.namespace}},
        "podSelector": {"matchLabels": dict(servers.pod_labels)},
    }
    ports = egress.ports or _DNS_PORTS
    return {
        "to": [pods, *({"ipBlock": {"cidr": cidr}} for cidr in servers.cidrs)],
        "ports": [_port(port) for port in ports],
    }


def _port(port: Port) -> dict[str, Any]:
    found: dict[str, Any] = {"protocol": port.protocol, "port": port.port}
    if port.end_port is not None:
        found["endPort"] = port.end_port
    return found
