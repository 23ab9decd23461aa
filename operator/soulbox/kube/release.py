"""What this release's own install manifest asks of a cluster: rights, CRDs, policies.

In the wheel the manifest lies beside this module, in a checkout under manifests/. It is made from
the chart, whose lists of our kinds come from model/kinds; nothing here repeats them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from soulbox.model.keys import VERSION
from soulbox.model.manifests import Manifest
from soulbox.pure.doctor.cluster import CrdSeen, Right

_WHEEL: Final = Path(__file__).parent / "install.yaml"
_CHECKOUT: Final = Path(__file__).parents[3] / "manifests" / "install.yaml"
# As manifests/install.yaml is rendered: hack/generate.
_NAMESPACE: Final = "soulbox-system"
_ACCOUNT: Final = "soulbox-operator"
# The role that is bound in each served namespace when the operator does not serve all.
_SERVED_ROLE: Final = "soulbox-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The install manifest, by kind."""

    manifests: tuple[Manifest, ...]

    def of_kind(self, kind: str) -> list[Manifest]:
        """Its objects of a kind."""
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def rights(self, namespace: str, served: Sequence[str], lease: str) -> tuple[Right, ...]:
        """What the operator's account needs, in a fixed order.

        Args:
            namespace: the operator's own.
            served: namespaces it serves; empty: all.
            lease: name of its Lease, which depends on them.
        """
        found: set[Right] = set()
        for kind in ("ClusterRoleBinding", "RoleBinding"):
            for binding in self.of_kind(kind):
                if not _binds_operator(binding):
                    continue
                reference = binding["roleRef"]
                bound_in = binding["metadata"].get("namespace")
                scopes: Sequence[str | None] = (namespace if bound_in == _NAMESPACE else bound_in,)
                if kind == "ClusterRoleBinding":
                    scopes = served if served and reference["name"] == _SERVED_ROLE else (None,)
                for rule in self._rules(reference["kind"], reference["name"], bound_in):
                    own = "leases" in rule["resources"] and rule.get("resourceNames")
                    asked = {**rule, "resourceNames": [lease]} if own else rule
                    found |= {right for scope in scopes for right in _expand(asked, scope)}
        return tuple(sorted(found, key=str))

    def _rules(self, kind: str, name: str, namespace: str | None) -> list[Manifest]:
        for role in self.of_kind(kind):
            metadata = role["metadata"]
            if metadata["name"] == name and (
                kind == "ClusterRole" or metadata.get("namespace") == namespace
            ):
                return list(role["rules"])
        raise LookupError(f"install.yaml binds {kind} {name}, which it does not have")

    def admission_policies(self) -> tuple[str, ...]:
        """Names of the policies it puts in force."""
        policies = self.of_kind("ValidatingAdmissionPolicy")
        return tuple(sorted(policy["metadata"]["name"] for policy in policies))


@cache
def load_release() -> Release:
    """This release's install manifest."""
    path = _WHEEL if _WHEEL.is_file() else _CHECKOUT
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = yaml.load_all(path.read_text(encoding="utf-8"), Loader=loader)
    return Release(manifests=tuple(document for document in documents if document))


def compare_crd(wanted: Manifest, found: Manifest | None) -> CrdSeen:
    """A CRD of this release against the cluster's; None: it has none."""
    name = str(wanted["metadata"]["name"])
    if found is None:
        return CrdSeen(name=name, present=False)
    ours, theirs = _schema(wanted), _schema(found)
    conditions = (found.get("status") or {}).get("conditions") or ()
    established = any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in conditions
    )
    if theirs is None or ours is None:
        return CrdSeen(name=name, present=True, established=established)
    wanted_fields, found_fields = set(_fields(ours, "")), set(_fields(theirs, ""))
    return CrdSeen(
        name=name,
        present=True,
        established=established,
        served=True,
        lacking=tuple(sorted(wanted_fields - found_fields)),
        foreign=tuple(sorted(found_fields - wanted_fields)),
        differs=ours != theirs,
    )


def _schema(crd: Manifest) -> Manifest | None:
    """The schema of our version, None when it is not served."""
    for version in crd["spec"]["versions"]:
        if version["name"] == VERSION and version.get("served"):
            schema: Manifest = version["schema"]["openAPIV3Schema"]
            return schema
    return None


def _fields(node: Manifest, path: str) -> Iterator[str]:
    for name, child in (node.get("properties") or {}).items():
        field = f"{path}.{name}" if path else name
        yield field
        yield from _fields(child, field)
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        child = node.get(key)
        if isinstance(child, Mapping):
            yield from _fields(child, path + mark)


def _binds_operator(binding: Manifest) -> bool:
    return any(
        subject.get("kind") == "ServiceAccount" and subject.get("name") == _ACCOUNT
        for subject in binding.get("subjects") or ()
    )


def _expand(rule: Manifest, namespace: str | None) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames") or (None,):
                    yield Right(
                        group=group, resource=resource, verb=verb, namespace=namespace, name=name
                    )
