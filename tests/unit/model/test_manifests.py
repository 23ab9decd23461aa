"""Facts read out of manifests: one reader each, and what it makes of malformed ones."""

from typing import Any

import pytest

from soulbox.model.keys import RECORDED_FINALIZER
from soulbox.model.manifests import (
    class_name,
    has_recorded,
    is_finished,
    is_over,
    owners_of,
    reference_to,
    sandbox_ref,
)
from soulbox.model.states import ExecutionState, Kind


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({"sandboxRef": {"name": "s"}}, "s"), ({"className": "python"}, None), ({}, None)],
)
def test_sandbox_that_an_execution_names(spec: dict[str, Any], expected: str | None) -> None:
    assert sandbox_ref({"spec": spec}) == expected
    assert sandbox_ref({}) is None


def test_class_that_is_not_named_is_empty() -> None:
    assert class_name({"spec": {"className": "python"}}) == "python"
    assert class_name({"spec": {"className": None}}) == ""
    assert class_name({}) == ""


@pytest.mark.parametrize("state", list(ExecutionState))
def test_execution_is_finished_in_its_final_states(state: ExecutionState) -> None:
    assert is_finished({"status": {"state": state.value}}) is state.is_final


@pytest.mark.parametrize("status", [None, {}, [], {"state": "Gone"}, {"state": None}])
def test_malformed_status_is_no_end(status: object) -> None:
    assert not is_finished({"status": status})
    assert not is_over({"status": status})


@pytest.mark.parametrize(
    ("phase", "over"),
    [("Pending", False), ("Running", False), ("Succeeded", True), ("Failed", True)],
)
def test_pod_is_over_when_its_containers_ended(phase: str, over: bool) -> None:
    assert is_over({"status": {"phase": phase}}) is over


def test_finalizer_among_others() -> None:
    assert has_recorded({"metadata": {"finalizers": ["other.dev/x", RECORDED_FINALIZER]}})
    assert not has_recorded({"metadata": {"finalizers": ["other.dev/x"]}})
    assert not has_recorded({"metadata": {}})


def test_owners_count_by_group_whatever_their_version() -> None:
    ours = reference_to(Kind.SANDBOX, "s", "u1")
    later = {**ours, "apiVersion": "soulbox.dev/v1", "uid": "u2"}
    other = {**ours, "apiVersion": "soulbox.dev.example.org/v1"}
    metadata = {"ownerReferences": [other, "malformed", later, ours]}
    assert list(owners_of({"metadata": metadata})) == [
        ("Sandbox", "u2", "s"),
        ("Sandbox", "u1", "s"),
    ]
