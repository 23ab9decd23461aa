"""Whatever a kind needs outside of its own folder: each place that forgets one fails by name.

docs/contributing/new-kind.md lists the steps with these checks. A kind that exists nowhere shows
that each check can fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from soulbox.kinds.controllers import build_followers
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.objects import Objects
from soulbox.kinds.registry import DESCRIBED
from soulbox.kube.clock import ServerClock
from soulbox.model import kinds
from soulbox.model.kinds import KindInfo
from soulbox.store.objects_sql import ROW_TYPES
from tests.support.reconciling import Bench
from tests.support.states import every_state

ROOT = Path(__file__).parents[3]


class Absent(str):
    """The name of a kind that is in no enumeration."""

    @property
    def value(self) -> str:
        return str(self)


ABSENT = KindInfo(
    kind=Absent("Absent"),  # type: ignore[arg-type]
    plural="absents",
    short_name="sbabsent",
    table="absents",
    owner_label="soulbox.dev/absent-uid",
    uses_class=True,
)


@cache
def installed() -> tuple[dict[str, Any], ...]:
    """Everything that install.yaml holds."""
    text = (ROOT / "manifests/install.yaml").read_text()
    return tuple(document for document in yaml.safe_load_all(text) if document)


def rights(role: str, resource: str) -> set[str]:
    """Verbs that a ClusterRole gives on a resource of ours."""
    (found,) = (
        one
        for one in installed()
        if one["kind"] == "ClusterRole" and one["metadata"]["name"] == role
    )
    return {
        verb
        for rule in found["rules"]
        if "soulbox.dev" in rule["apiGroups"] and resource in rule["resources"]
        for verb in rule["verbs"]
    }


def guarded(policy: str) -> set[str]:
    """Resources that an admission policy looks at."""
    (found,) = (
        one
        for one in installed()
        if one["kind"] == "ValidatingAdmissionPolicy" and one["metadata"]["name"] == policy
    )
    return {
        resource
        for rule in found["spec"]["matchConstraints"]["resourceRules"]
        for resource in rule["resources"]
    }


def has_crd(info: KindInfo) -> bool:
    """`kinds/registry.DESCRIBED`, then `make generate`."""
    described = [one.info.kind for one in DESCRIBED]
    return info.kind in described and (ROOT / f"crds/soulbox.dev_{info.plural}.yaml").is_file()


def is_served_by_the_operator(info: KindInfo) -> bool:
    """`model/kinds`, then `make generate`: the ClusterRole of the operator."""
    role = "soulbox-operator" if info.namespaced else "soulbox-operator-cluster"
    return {"get", "list", "watch"} <= rights(role, info.plural) and "patch" in rights(
        role, f"{info.plural}/status"
    )


def has_pods_that_wait(info: KindInfo) -> bool:
    """`model/kinds`: whose /finalizers the operator may update."""
    return info.owner_label is None or "update" in rights(
        "soulbox-operator", f"{info.plural}/finalizers"
    )


def is_given_to_users(info: KindInfo) -> bool:
    """`model/kinds`, then `make generate`: the roles of people."""
    if not info.namespaced:
        return "get" in rights("soulbox-classes", info.plural)
    return "get" in rights("soulbox-view", info.plural) and "create" in rights(
        "soulbox-edit", info.plural
    )


def is_guarded(info: KindInfo) -> bool:
    """`model/kinds`, then `make generate`: the admission policies."""
    policies = ("soulbox-user", "soulbox-names") if info.namespaced else ()
    return all(info.plural in guarded(policy) for policy in (*policies, "soulbox-quantities"))


def is_followed(info: KindInfo) -> bool:
    """`kinds/controllers`: what a version of it wakes."""
    objects = Objects()
    followers = build_followers(
        objects,
        Nobody(),
        Turns(objects.executions),
        ServerClock(lambda: 0.0, lambda: 0.0),
    )
    return info.kind in followers.by_kind


def is_mirrored(info: KindInfo) -> bool:
    """`model/rows` and a migration: its rows, whose columns tests/unit/store compares."""
    return info.table is None or info.table in {row.TABLE.name for row in ROW_TYPES}


def is_told_of(info: KindInfo) -> bool:
    """A migration: the kinds that `soulbox.changes` takes."""
    if info.table is None:
        return True
    (line,) = (line for line in schema() if "CONSTRAINT changes_kind_known CHECK" in line)
    return f"'{info.kind.lower()}'" in line


def has_writers_rights(info: KindInfo) -> bool:
    """A migration: what the operator's login may write."""
    if info.table is None:
        return True
    text = "\n".join(schema())
    granted = text[text.index("GRANT INSERT, UPDATE ON soulbox.") :].partition(";")[0]
    return f"soulbox.{info.table}" in granted


def has_health_for_argo(info: KindInfo) -> bool:
    """manifests/argocd: the health of its objects, made by `make generate` for most."""
    return (ROOT / f"manifests/argocd/soulbox.dev/{info.kind}/health.lua").is_file()


def has_states_for_kstatus(info: KindInfo) -> bool:
    """tests/support/states.py: an object in each state, for kstatus and Argo CD."""
    return any(manifest["kind"] == info.kind for manifest in every_state().values())


def has_docs(info: KindInfo) -> bool:
    """docs/concepts.md: its line in the table of kinds."""
    return f"| {info.kind} | `{info.short_name}` |" in (ROOT / "docs/concepts.md").read_text()


def has_example(info: KindInfo) -> bool:
    """examples/: one at least, which tests/e2e applies."""
    return any(info.kind in example_kinds(path) for path in (ROOT / "examples").rglob("*.yaml"))


CHECKS: tuple[Callable[[KindInfo], bool], ...] = (
    has_crd,
    is_served_by_the_operator,
    has_pods_that_wait,
    is_given_to_users,
    is_guarded,
    is_followed,
    is_mirrored,
    is_told_of,
    has_writers_rights,
    has_health_for_argo,
    has_states_for_kstatus,
    has_docs,
    has_example,
)


class Nobody:
    """A queue that nobody works at."""

    def add(self, kind: object, uid: str) -> None:
        pass

    def add_later(self, kind: object, uid: str, seconds: float) -> None:
        pass


@cache
def schema() -> tuple[str, ...]:
    """Lines of db/schema.sql."""
    return tuple((ROOT / "db/schema.sql").read_text().splitlines())


def example_kinds(path: Path) -> Iterator[str]:
    """Kinds of the objects in a file."""
    for document in yaml.safe_load_all(path.read_text()):
        if isinstance(document, dict) and document.get("apiVersion") == "soulbox.dev/v1alpha1":
            yield document["kind"]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("info", kinds.OURS, ids=lambda info: info.kind.value)
def test_kind_is_not_forgotten(info: KindInfo, check: Callable[[KindInfo], bool]) -> None:
    assert check(info), f"{info.kind} is missing in {check.__doc__}"


@pytest.mark.parametrize("check", CHECKS)
def test_check_finds_a_kind_that_is_missing(check: Callable[[KindInfo], bool]) -> None:
    assert not check(ABSENT)


async def test_every_kind_has_its_reconciler(bench: Bench) -> None:
    """`kinds/controllers`: what works on its objects."""
    assert set(bench.controllers.reconcile) == {info.kind for info in kinds.OURS}
