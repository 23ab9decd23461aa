"""What the install manifest of this release asks for, and how a cluster's CRDs compare."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from soulbox.kube.release import Release, compare_crd, load_release
from soulbox.pure.doctor.cluster import Right

LEASE = "soulbox-operator"


def crd() -> dict[str, Any]:
    """A CRD of the release as a cluster would have it."""
    found = copy.deepcopy(load_release().of_kind("CustomResourceDefinition")[0])
    return {**found, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


def schema_of(manifest: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def test_rights_are_those_that_the_bindings_of_the_install_give() -> None:
    rights = load_release().rights("operators", (), LEASE)
    pods = Right(group="", resource="pods", verb="create")
    key = Right(
        group="", resource="secrets", verb="get", namespace="operators", name="soulbox-signing-key"
    )
    leases = Right(
        group="coordination.k8s.io", resource="leases", verb="get", namespace="kube-node-lease"
    )
    assert {pods, key, leases} <= set(rights)
    assert len(set(rights)) == len(rights)
    assert not [right for right in rights if right.namespace == "soulbox-system"]


def test_rights_of_served_namespaces_are_asked_for_in_each_of_them() -> None:
    rights = load_release().rights("operators", ("team-a", "team-b"), "soulbox-operator-12ab")
    creating = [r for r in rights if (r.resource, r.verb) == ("pods", "create")]
    assert [right.namespace for right in creating] == ["team-a", "team-b"]
    listing = [r for r in rights if (r.resource, r.verb) == ("sandboxclasses", "list")]
    assert [right.namespace for right in listing] == [None]
    # The Role of such an installation gives the Lease of its own name alone.
    leases = {r.name for r in rights if r.resource == "leases" and r.namespace == "operators"}
    assert leases == {None, "soulbox-operator-12ab"}


def test_every_rule_of_every_bound_role_is_asked_about() -> None:
    """Nothing that rbac.yaml gives is left out of what the doctor asks."""
    release = load_release()
    bound = {
        (binding["roleRef"]["kind"], binding["roleRef"]["name"])
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for binding in release.of_kind(kind)
        if any(subject["name"] == "soulbox-operator" for subject in binding["subjects"])
    }
    given = {
        (group, resource, verb)
        for kind in ("ClusterRole", "Role")
        for role in release.of_kind(kind)
        if (kind, role["metadata"]["name"]) in bound
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    asked = {(r.group, r.resource, r.verb) for r in release.rights("soulbox-system", (), LEASE)}
    assert asked == given


def test_binding_of_a_role_that_is_not_there_is_a_bug() -> None:
    bindings = load_release().of_kind("ClusterRoleBinding")
    with pytest.raises(LookupError):
        Release(manifests=tuple(bindings)).rights("soulbox-system", (), LEASE)


def test_crd_of_this_release_is_in_order() -> None:
    wanted = load_release().of_kind("CustomResourceDefinition")[0]
    seen = compare_crd(wanted, crd())
    assert seen.present
    assert seen.established
    assert seen.served
    assert (seen.lacking, seen.foreign, seen.differs) == ((), (), False)


def test_crd_that_is_not_there() -> None:
    assert not compare_crd(load_release().of_kind("CustomResourceDefinition")[0], None).present


def test_fields_that_came_and_went_are_named() -> None:
    wanted, found = load_release().of_kind("CustomResourceDefinition")[0], crd()
    properties = schema_of(found)["properties"]
    gone = sorted(properties["spec"]["properties"])[0]
    del properties["spec"]["properties"][gone]
    properties["spec"]["properties"]["later"] = {"type": "string"}
    seen = compare_crd(wanted, found)
    assert f"spec.{gone}" in seen.lacking
    assert seen.foreign == ("spec.later",)
    assert seen.differs


def test_other_bounds_of_the_same_fields_differ_and_no_more() -> None:
    found = crd()
    schema_of(found)["description"] = "other words"
    seen = compare_crd(load_release().of_kind("CustomResourceDefinition")[0], found)
    assert (seen.lacking, seen.foreign, seen.differs) == ((), (), True)


def test_crd_that_does_not_serve_our_version() -> None:
    found = crd()
    found["spec"]["versions"][0]["name"] = "v9"
    assert not compare_crd(load_release().of_kind("CustomResourceDefinition")[0], found).served
