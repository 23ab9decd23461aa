"""Network policies by profile, the claim of a workspace, and what both change of a pod."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soulbox.model.keys import NETWORK_PROFILE_LABEL
from soulbox.model.specs import NO_NETWORK, DnsServers, Egress, NetworkProfile, Port
from soulbox.pure.pods.claim import ClaimPlan, build_claim, claim_name
from soulbox.pure.pods.network_policy import (
    build_network_policy,
    correct_network_policy,
    policy_name,
    profile_key,
)
from soulbox.pure.pods.plan import build_pod
from tests.support.seen import BOX_UID, make_class_spec, make_plan, merged

WEB = NetworkProfile(
    name="web",
    egress=(
        Egress(dns=True),
        Egress(
            cidr="0.0.0.0/0",
            excluded=("10.0.0.0/8", "169.254.0.0/16"),
            ports=(Port(port=443), Port(port=8000, end_port=8100), Port(port=53, protocol="UDP")),
        ),
        Egress(cidr="fd00::/8"),
    ),
)


def test_policy_allows_what_the_profile_says_and_nothing_else() -> None:
    spec = build_network_policy("team-a", WEB, "soulbox-system")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    dns, internet, site = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert dns["to"][0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert internet["to"] == [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "169.254.0.0/16"]}}
    ]
    assert internet["ports"] == [
        {"protocol": "TCP", "port": 443},
        {"protocol": "TCP", "port": 8000, "endPort": 8100},
        {"protocol": "UDP", "port": 53},
    ]
    assert site == {"to": [{"ipBlock": {"cidr": "fd00::/8"}}]}


def test_cluster_s_dns_may_lie_elsewhere_and_listen_on_another_port() -> None:
    servers = DnsServers(
        namespace="openshift-dns",
        pod_labels={"dns.operator.openshift.io/daemonset-dns": "default"},
        cidrs=("169.254.25.10/32",),
    )
    rule = Egress(dns=True, dns_servers=servers, ports=(Port(port=5353, protocol="UDP"),))
    profile = NetworkProfile(name="web", egress=(rule,))
    (dns,) = build_network_policy("team-a", profile, "soulbox-system")["spec"]["egress"]
    assert dns == {
        "to": [
            {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}
                },
                "podSelector": {"matchLabels": dict(servers.pod_labels)},
            },
            {"ipBlock": {"cidr": "169.254.25.10/32"}},
        ],
        "ports": [{"protocol": "UDP", "port": 5353}],
    }
    assert build_pod(make_plan(network_profile=profile))["spec"]["dnsPolicy"] == "ClusterFirst"


def test_what_a_release_adds_changes_no_policy_that_does_not_use_it() -> None:
    assert profile_key(WEB) == "web-223a980c"


def test_each_content_of_a_profile_has_a_policy_of_its_own() -> None:
    other = replace(WEB, egress=WEB.egress[:1])
    assert policy_name(NO_NETWORK) == "soulbox-none"
    assert policy_name(WEB).startswith("soulbox-web-")
    assert policy_name(WEB) != policy_name(other)
    assert len(profile_key(NetworkProfile(name="n" * 40))) <= 63, "a label's value"
    selected = build_network_policy("a", WEB, "s")["spec"]["podSelector"]["matchLabels"]
    labels = build_pod(make_plan(network_profile=WEB))["metadata"]["labels"]
    assert selected[NETWORK_PROFILE_LABEL] == labels[NETWORK_PROFILE_LABEL] == profile_key(WEB)


def test_name_servers_are_those_that_the_profile_lets_a_pod_ask() -> None:
    site = NetworkProfile(name="site", egress=(Egress(cidr="192.0.2.0/24"),))
    assert build_pod(make_plan(network_profile=WEB))["spec"]["dnsPolicy"] == "ClusterFirst"
    assert build_pod(make_plan(network_profile=site))["spec"]["dnsPolicy"] == "Default"
    nothing = build_pod(make_plan())["spec"]
    assert nothing["dnsPolicy"] == "None", "a name server that drops what comes costs 20 s"
    assert nothing["dnsConfig"] == {"nameservers": ["127.0.0.1"]}


CLAIM = ClaimPlan(
    sandbox_uid=BOX_UID,
    sandbox_name="box",
    namespace="team-a",
    size_bytes=2**30,
    storage_class_name=None,
)


def test_claim_is_the_sandbox_s_own() -> None:
    claim = build_claim(CLAIM)
    assert claim["metadata"]["name"] == claim_name("box", BOX_UID)
    (owner,) = claim["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Sandbox", BOX_UID)
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1073741824"}},
    }


def test_storage_class_is_left_to_the_cluster_unless_named() -> None:
    assert build_claim(replace(CLAIM, storage_class_name="fast"))["spec"]["storageClassName"] == (
        "fast"
    )
    assert build_claim(replace(CLAIM, storage_class_name=""))["spec"]["storageClassName"] == ""


def test_pods_of_a_claim_share_one_user_and_others_have_one_each() -> None:
    def user(incarnation: int, claim: str | None) -> int:
        plan = make_plan(incarnation=incarnation, claim=claim)
        return int(build_pod(plan)["spec"]["securityContext"]["runAsUser"])

    assert user(1, "c") == user(2, "c") != user(1, None)
    assert user(1, None) != user(2, None)


def test_workspace_lies_on_the_claim() -> None:
    volumes = {
        volume["name"]: volume for volume in build_pod(make_plan(claim="c"))["spec"]["volumes"]
    }
    assert volumes["workspace"] == {
        "name": "workspace",
        "persistentVolumeClaim": {"claimName": "c"},
    }
    assert "emptyDir" in volumes["tmp"]


def test_output_goes_to_the_log_where_the_class_says_so() -> None:
    def command(log_output: bool) -> list[str]:
        plan = make_plan(sandbox_class=make_class_spec(log_output=log_output))
        return list(build_pod(plan)["spec"]["containers"][0]["command"])

    assert "--log-output" in command(True)
    assert "--log-output" not in command(False)


def stored_policy(profile: NetworkProfile) -> dict[str, Any]:
    """As the API server gives it back."""
    policy = build_network_policy("team-a", profile, "soulbox-system")
    policy["spec"] = {name: value for name, value in policy["spec"].items() if value}
    policy["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    return policy


@pytest.mark.parametrize("profile", [NO_NETWORK, WEB], ids=lambda one: one.name)
def test_policy_that_says_what_it_should_is_left_alone(profile: NetworkProfile) -> None:
    wanted = build_network_policy("team-a", profile, "soulbox-system")
    found = stored_policy(profile)
    found["metadata"]["labels"]["theirs"] = "stays"
    assert correct_network_policy(found, wanted) is None


LAX: dict[str, dict[str, Any]] = {
    "egress to everywhere": {"egress": [{}]},
    "no direction of ours": {"policyTypes": ["Ingress"]},
    "other pods": {"podSelector": {"matchLabels": {"app": "web"}}},
    "fewer pods": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}},
    "ingress from everywhere": {"ingress": [{}]},
    "nothing": {"podSelector": {}, "policyTypes": ["Egress"], "ingress": None, "egress": None},
}


@pytest.mark.parametrize("spec", LAX.values(), ids=LAX.keys())
@pytest.mark.parametrize("profile", [NO_NETWORK, WEB], ids=lambda one: one.name)
def test_policy_that_says_something_else_is_put_right(
    spec: dict[str, Any], profile: NetworkProfile
) -> None:
    wanted = build_network_policy("team-a", profile, "soulbox-system")
    found = merged(stored_policy(profile), {"spec": spec})
    patch = correct_network_policy(found, wanted)
    assert patch is not None
    after = merged(found, patch)
    assert after["spec"] == wanted["spec"]
    assert correct_network_policy(after | {"spec": stored_policy(profile)["spec"]}, wanted) is None


def test_policy_without_our_label_gets_it_back() -> None:
    wanted = build_network_policy("team-a", NO_NETWORK, "soulbox-system")
    found = stored_policy(NO_NETWORK)
    found["metadata"]["labels"] = {}
    patch = correct_network_policy(found, wanted)
    assert patch is not None
    assert patch["metadata"]["labels"] == wanted["metadata"]["labels"]
