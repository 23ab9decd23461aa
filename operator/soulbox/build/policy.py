"""The NetworkPolicy of a namespace and profile, shared by its sandboxes."""

from typing import Any

from soulbox.model import keys


def policy_name(profile: str) -> str:
    """Name of the policy of a profile."""
    return f"soulbox-{profile}"


def build_network_policy(namespace: str, profile: str, operator_namespace: str) -> dict[str, Any]:
    """Ingress only from the operator's pods to the runner's port; no egress.

    Who enforces it is the cluster's network plugin; `profile` is "none" until classes
    have profiles of their own.
    """
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
                    keys.NETWORK_PROFILE_LABEL: profile,
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
            "egress": [],
        },
    }
