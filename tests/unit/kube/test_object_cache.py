"""The cache of last-seen objects: newest wins, names follow uids, indexes hold."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.objects import Objects
from soulbox.kube.cache import ObjectCache, is_older
from soulbox.model.keys import (
    API_VERSION,
    EXECUTION_UID_LABEL,
    RECORDED_FINALIZER,
    SANDBOX_UID_LABEL,
)
from soulbox.model.states import ExecutionState, Kind

CREATED = "2026-01-02T03:04:05Z"


def obj(uid: str, version: int = 1, *, name: str = "box", **metadata: Any) -> dict[str, Any]:
    """An object of namespace `ns`."""
    return {
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": CREATED,
        }
        | metadata
    }


def pod(uid: str, owner: str, version: int = 1, **metadata: Any) -> dict[str, Any]:
    """A pod of ours, of that Sandbox."""
    owned = {
        "labels": {SANDBOX_UID_LABEL: owner},
        "ownerReferences": [
            {"apiVersion": API_VERSION, "kind": "Sandbox", "uid": owner, "controller": True}
        ],
    }
    return obj(uid, version, name=uid, **owned | metadata)


def test_namespace_that_is_ending_is_there_until_its_end() -> None:
    """Its finalizers are in its spec; what is still in it has its tenant."""
    cache = Objects()
    cache.put(Kind.NAMESPACE, obj("u", name="n", namespace=""))
    cache.put(Kind.NAMESPACE, obj("u", 2, name="n", namespace="", deletionTimestamp=CREATED))
    assert cache.by_name(Kind.NAMESPACE, "", "n") is not None


def execution(
    uid: str,
    version: int = 1,
    *,
    sandbox: str | None = "box",
    state: str = "Queued",
    **metadata: Any,
) -> dict[str, Any]:
    """An Execution in Sandbox `box`; without `sandbox` of class python."""
    spec = {"className": "python"} if sandbox is None else {"sandboxRef": {"name": sandbox}}
    return obj(uid, version, name=uid, **metadata) | {"spec": spec, "status": {"state": state}}


def waiting(cache: ObjectCache) -> list[str]:
    """Uids that wait for Sandbox `box`, in their order."""
    return [one["metadata"]["uid"] for one in cache.executions.unfinished("ns", "box")]


def naming(cache: ObjectCache) -> set[str]:
    """Uids of all that name Sandbox `box`."""
    return {one["metadata"]["uid"] for one in cache.executions.naming("ns", "box")}


VERSIONS = {
    ("1", "2"): True,
    ("2", "1"): False,
    ("9", "10"): True,  # numbers, not text
    ("7", "7"): False,
    ("", "1"): False,
    ("x", "1"): False,
}


@pytest.mark.parametrize(("one", "other"), VERSIONS)
def test_versions_compare_as_numbers(one: str, other: str) -> None:
    assert is_older(one, other) is VERSIONS[one, other]


def test_stale_version_is_dropped_and_the_same_one_again_is_no_news() -> None:
    cache = Objects()
    newer = obj("u", 10)
    assert cache.put(Kind.SANDBOX, newer)
    assert not cache.put(Kind.SANDBOX, obj("u", 9))
    assert cache.get(Kind.SANDBOX, "u") == newer
    assert not cache.put(Kind.SANDBOX, obj("u", 10))
    assert cache.put(Kind.SANDBOX, obj("u", 11))
    assert cache.count(Kind.SANDBOX) == 1


@given(st.permutations(range(1, 6)))
def test_newest_version_stays_in_whatever_order_they_come(order: list[int]) -> None:
    cache = Objects()
    for version in order:
        cache.put(Kind.EXECUTION, execution("u", version, state="Queued"))
    found = cache.get(Kind.EXECUTION, "u")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "5"


def test_lookups_of_what_is_not_there() -> None:
    cache = Objects()
    assert cache.get(Kind.POD, "u") is None
    assert cache.by_name(Kind.POD, "ns", "box") is None
    assert cache.remove(Kind.POD, "u") is None
    assert cache.pods.of("u") == []
    assert list(cache.executions.unfinished("ns", "box")) == []
    assert list(cache.executions.naming("ns", "box")) == []
    assert cache.users_of_class("python") == []


def test_objects_of_a_kind_and_by_name() -> None:
    cache = Objects()
    for uid in ("a", "b"):
        cache.put(Kind.SANDBOX, obj(uid, name=uid))
    assert {one["metadata"]["uid"] for one in cache.all(Kind.SANDBOX)} == {"a", "b"}
    found = cache.by_name(Kind.SANDBOX, "ns", "b")
    assert found is not None
    assert found["metadata"]["uid"] == "b"
    assert cache.by_name(Kind.EXECUTION, "ns", "b") is None


def test_cluster_scoped_object_is_found_without_a_namespace() -> None:
    cache = Objects()
    manifest = obj("c", name="python")
    del manifest["metadata"]["namespace"]
    cache.put(Kind.SANDBOX_CLASS, manifest)
    assert cache.by_name(Kind.SANDBOX_CLASS, "", "python") == manifest


# F11: deleted and made again under the same name, events in every order that can be.
OLD, NEW = obj("old", 10), obj("new", 12)


def test_name_made_again_is_the_new_object_s_when_the_old_one_s_end_comes_late() -> None:
    cache = Objects()
    cache.put(Kind.SANDBOX, OLD)
    cache.put(Kind.SANDBOX, NEW)
    assert cache.by_name(Kind.SANDBOX, "ns", "box") == NEW
    assert cache.get(Kind.SANDBOX, "old") == OLD
    assert cache.remove(Kind.SANDBOX, "old") == OLD
    assert cache.by_name(Kind.SANDBOX, "ns", "box") == NEW


def test_late_reply_about_the_old_object_does_not_take_the_name_back() -> None:
    cache = Objects()
    cache.put(Kind.SANDBOX, NEW)
    cache.put(Kind.SANDBOX, OLD)  # the reply to a patch that was overtaken by the watch
    assert cache.by_name(Kind.SANDBOX, "ns", "box") == NEW
    cache.remove(Kind.SANDBOX, "old")
    assert cache.by_name(Kind.SANDBOX, "ns", "box") == NEW


def test_pods_of_the_old_object_are_not_the_new_one_s() -> None:
    cache = Objects()
    cache.put(Kind.POD, pod("p1", "old"))
    assert cache.pods.of("new") == []
    assert [one["metadata"]["uid"] for one in cache.pods.of("old")] == ["p1"]


# Replies to our own last patch: the object is gone with it.
GONE: dict[str, tuple[Kind, dict[str, Any], bool]] = {
    "a Sandbox without finalizers": (Kind.SANDBOX, {"deletionTimestamp": CREATED}, True),
    "a Sandbox with another's finalizer": (
        Kind.SANDBOX,
        {"deletionTimestamp": CREATED, "finalizers": ["example.com/x"]},
        False,
    ),
    "a Sandbox that nobody deletes": (Kind.SANDBOX, {}, False),
    "a pod that the kubelet still has": (
        Kind.POD,
        {"deletionTimestamp": CREATED, "deletionGracePeriodSeconds": 5},
        False,
    ),
    "a pod that the kubelet let go": (
        Kind.POD,
        {"deletionTimestamp": CREATED, "deletionGracePeriodSeconds": 0},
        True,
    ),
    "a pod that the kubelet let go, with our finalizer": (
        Kind.POD,
        {
            "deletionTimestamp": CREATED,
            "deletionGracePeriodSeconds": 0,
            "finalizers": [RECORDED_FINALIZER],
        },
        False,
    ),
}


@pytest.mark.parametrize("name", GONE)
def test_object_that_went_with_our_patch_is_forgotten(name: str) -> None:
    kind, metadata, want_gone = GONE[name]
    cache = Objects()
    cache.put(kind, obj("u", 1))
    assert cache.put(kind, obj("u", 2, **metadata))
    assert (cache.get(kind, "u") is None) is want_gone
    assert (cache.by_name(kind, "ns", "box") is None) is want_gone


def test_pods_come_by_creation_then_name() -> None:
    cache = Objects()
    for name, created in (("c", "2026-01-02T03:04:06Z"), ("b", CREATED), ("a", CREATED)):
        cache.put(Kind.POD, pod(name, "s", creationTimestamp=created))
    assert [one["metadata"]["uid"] for one in cache.pods.of("s")] == ["a", "b", "c"]
    cache.remove(Kind.POD, "b")
    assert [one["metadata"]["uid"] for one in cache.pods.of("s")] == ["a", "c"]


def test_one_shot_pod_is_its_execution_s() -> None:
    cache = Objects()
    owner = {"apiVersion": API_VERSION, "kind": "Execution", "uid": "e", "controller": True}
    cache.put(
        Kind.POD,
        obj("p", labels={EXECUTION_UID_LABEL: "e"}, ownerReferences=[owner]),
    )
    assert [one["metadata"]["uid"] for one in cache.pods.of("e")] == ["p"]


# F12: labels that tenants set and take away.
STOMPED: dict[str, dict[str, Any]] = {
    "another's uid": {"labels": {SANDBOX_UID_LABEL: "other"}},
    "no uid": {"labels": {}},
    "no labels at all": {"labels": None},
}


@pytest.mark.parametrize("metadata", STOMPED.values(), ids=STOMPED.keys())
@pytest.mark.parametrize("seen_before", [True, False], ids=["watched", "after a restart"])
def test_pod_whose_label_was_stomped_stays_its_owner_s(
    metadata: dict[str, Any], seen_before: bool
) -> None:
    cache = Objects()
    if seen_before:
        cache.put(Kind.POD, pod("p", "s", 1))
    cache.put(Kind.POD, pod("p", "s", 2, **metadata))
    assert [one["metadata"]["uid"] for one in cache.pods.of("s")] == ["p"]
    assert cache.pods.of("other") == []
    cache.remove(Kind.POD, "p")
    assert cache.pods.of("s") == []


FOREIGN: dict[str, list[dict[str, Any]] | None] = {
    "no owner": None,
    "an owner of another group": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": "s"}],
    "another owner": [
        {"apiVersion": API_VERSION, "kind": "Sandbox", "uid": "t", "controller": True}
    ],
}


@pytest.mark.parametrize("references", FOREIGN.values(), ids=FOREIGN.keys())
def test_tenant_s_pod_with_our_label_is_not_ours(references: list[Any] | None) -> None:
    cache = Objects()
    cache.put(Kind.POD, pod("p", "s", ownerReferences=references))
    assert cache.pods.of("s") == []


def test_executions_wait_in_order_of_arrival() -> None:
    cache = Objects()
    for uid in ("c", "a", "b"):
        cache.put(Kind.EXECUTION, execution(uid))
    assert waiting(cache) == ["c", "a", "b"], "the same second: as the watch brought them"


def test_list_that_comes_in_order_of_names_is_sorted_by_creation() -> None:
    cache = Objects()
    for uid, second in (("a", 9), ("b", 5), ("c", 7)):
        cache.put(Kind.EXECUTION, execution(uid, creationTimestamp=f"2026-01-02T03:04:0{second}Z"))
    assert waiting(cache) == ["b", "c", "a"]
    assert waiting(cache) == ["b", "c", "a"]


def test_execution_that_ends_waits_no_more_and_is_still_counted() -> None:
    cache = Objects()
    for uid in ("a", "b"):
        cache.put(Kind.EXECUTION, execution(uid))
    cache.put(Kind.EXECUTION, execution("a", 2, state="Completed"))
    assert waiting(cache) == ["b"]
    assert naming(cache) == {"a", "b"}
    cache.remove(Kind.EXECUTION, "a")
    cache.remove(Kind.EXECUTION, "b")
    assert waiting(cache) == []
    assert naming(cache) == set()


def test_execution_that_is_seen_finished_first_never_waits() -> None:
    cache = Objects()
    cache.put(Kind.EXECUTION, execution("a", state="Failed"))
    assert waiting(cache) == []
    assert naming(cache) == {"a"}


def test_users_of_a_class_are_sandboxes_and_unfinished_one_shots() -> None:
    cache = Objects()
    cache.put(Kind.SANDBOX, obj("s") | {"spec": {"className": "python"}})
    cache.put(Kind.EXECUTION, execution("e", sandbox=None))
    cache.put(Kind.EXECUTION, execution("f"))
    assert cache.users_of_class("python") == [(Kind.EXECUTION, "e"), (Kind.SANDBOX, "s")]
    cache.put(Kind.EXECUTION, execution("e", 2, sandbox=None, state="Completed"))
    assert cache.users_of_class("python") == [(Kind.SANDBOX, "s")]
    cache.remove(Kind.SANDBOX, "s")
    cache.remove(Kind.EXECUTION, "e")
    assert cache.users_of_class("python") == []


# F14: objects of older schemas, pruned or half empty.
MALFORMED: dict[str, dict[str, Any]] = {
    "no spec": {},
    "spec null": {"spec": None},
    "status null": {"spec": {"sandboxRef": {"name": "box"}}, "status": None},
    "reference null": {"spec": {"sandboxRef": None}},
    "reference without a name": {"spec": {"sandboxRef": {}}},
    "state that no release wrote": {"spec": {}, "status": {"state": "Exploded"}},
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("kind", list(Kind))
def test_malformed_object_can_be_kept_and_forgotten(name: str, kind: Kind) -> None:
    cache = Objects()
    manifest = obj("u") | MALFORMED[name]
    assert cache.put(kind, manifest)
    assert cache.put(kind, obj("u", 2) | MALFORMED[name])
    assert cache.remove(kind, "u") is not None
    assert cache.get(kind, "u") is None
    assert waiting(cache) == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["box", "other", None]),
        st.sampled_from([*ExecutionState, None]),
    ),
    max_size=25,
)


@given(STEPS)
def test_indexes_say_what_the_objects_say(steps: list[tuple[str, str | None, Any]]) -> None:
    """`None` as state removes the object. What an Execution names never changes."""
    cache = Objects()
    versions = itertools.count(1)
    names: dict[str, str | None] = {}
    for uid, sandbox, state in steps:
        if state is None:
            cache.remove(Kind.EXECUTION, uid)
        else:
            named = names.setdefault(uid, sandbox)
            cache.put(
                Kind.EXECUTION, execution(uid, next(versions), sandbox=named, state=state.value)
            )
    known = {one["metadata"]["uid"]: one for one in cache.all(Kind.EXECUTION)}
    unfinished = {
        uid for uid, one in known.items() if one["status"]["state"] in ("Queued", "Running")
    }
    for sandbox in ("box", "other"):
        of_it = {uid for uid in known if names[uid] == sandbox}
        found = [one["metadata"]["uid"] for one in cache.executions.unfinished("ns", sandbox)]
        assert set(found) == of_it & unfinished
        assert len(found) == len(set(found))
        assert {one["metadata"]["uid"] for one in cache.executions.naming("ns", sandbox)} == of_it
    one_shots = {uid for uid in known if names[uid] is None}
    assert {uid for _, uid in cache.users_of_class("python")} == one_shots & unfinished
