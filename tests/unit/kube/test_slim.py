"""What the cache leaves out, and that nothing else of the operator misses it."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from soulbox.kube.slim import is_applied, slim
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext
from soulbox.pure.pods.sight import build_pod_sight
from soulbox.pure.pods.view import view_pod
from tests.support.make_mirrored import make_pod

CONTEXT = RowContext(
    cluster_uid="7d3f0a52-1111-4222-8333-444455556666",
    tenant_of=lambda name: name,
    language_of=lambda _: None,
)


def full_pod() -> dict[str, Any]:
    """A pod with what a real one has and nobody here reads."""
    pod = make_pod()
    pod["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    pod["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    pod["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]
    pod["status"]["podIPs"] = [{"ip": "10.0.0.1"}]
    for status in pod["status"].get("containerStatuses", ()):
        status["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    return pod


def test_pod_reads_the_same_as_the_whole_one() -> None:
    pod = full_pod()
    kept = slim(Kind.POD, pod)
    assert view_pod(kept) == view_pod(pod)
    seen_at = datetime(2026, 11, 22, 10, 6, tzinfo=UTC)
    read, want = (build_pod_sight(one, CONTEXT, seen_at=seen_at) for one in (kept, pod))
    assert read == want


def test_left_out_is_gone_and_the_original_is_as_it_was() -> None:
    pod = full_pod()
    before = copy.deepcopy(pod)
    kept = slim(Kind.POD, pod)
    assert pod == before
    assert "managedFields" not in kept["metadata"]
    assert "volumes" not in kept["spec"]
    assert kept["spec"]["containers"][0].keys().isdisjoint({"env", "volumeMounts", "command"})
    assert kept["spec"]["containers"][0]["resources"] == pod["spec"]["containers"][0]["resources"]
    assert "podIPs" not in kept["status"]


@pytest.mark.parametrize("kind", [Kind.SANDBOX, Kind.EXECUTION, Kind.SANDBOX_CLASS])
def test_other_kinds_lose_managed_fields_only(kind: Kind) -> None:
    manifest = {
        "metadata": {"uid": "u", "managedFields": [1], "labels": {"a": "b"}},
        "spec": {"volumes": 1},
        "status": {"podIPs": 2},
    }
    assert slim(kind, manifest) == {**manifest, "metadata": {"uid": "u", "labels": {"a": "b"}}}


APPLIED = {
    "none": (None, False),
    "no list": ("x", False),
    "no entries": ([1], False),
    "updates": ([{"operation": "Update", "fieldsV1": {}}], False),
    "an apply": (
        [{"operation": "Update"}, {"operation": "Apply", "fieldsV1": {"f:spec": {}}}],
        True,
    ),
}


@pytest.mark.parametrize(("entries", "want"), APPLIED.values(), ids=APPLIED.keys())
def test_that_an_execution_was_applied_is_known_of_the_slim_one_too(
    entries: Any, want: bool
) -> None:
    manifest = {"metadata": {"uid": "u", "managedFields": entries}}
    kept = slim(Kind.EXECUTION, manifest)
    assert (
        is_applied(manifest) is is_applied(kept) is is_applied(slim(Kind.EXECUTION, kept)) is want
    )
    assert len(str(kept["metadata"].get("managedFields", ""))) < 30, "no more than the word"


@pytest.mark.parametrize(
    "broken", [{}, {"spec": None, "status": None}, {"spec": {"containers": "x"}}]
)
def test_malformed_pod_is_no_error(broken: dict[str, Any]) -> None:
    assert slim(Kind.POD, {"metadata": {"uid": "u"}, **broken})["metadata"] == {"uid": "u"}
