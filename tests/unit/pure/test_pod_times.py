"""The status and the ledger read the same times of a pod, whatever its kubelet says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from soulbox.model.keys import LOST_TIME_ANNOTATION
from soulbox.pure.fields import RowContext, RowError
from soulbox.pure.pods.sight import build_pod_sight
from soulbox.pure.pods.view import EndCause, PodPhase, view_pod
from tests.support.make_mirrored import CLUSTER_UID, make_pod

CONTEXT = RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: namespace)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
START, END, LOST = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T10:30:00Z"
OVER = {"startedAt": START, "finishedAt": END, "reason": "Error", "exitCode": 1}
WAITING = {"waiting": {"reason": "ContainerCreating"}}
DELETED_AND_LOST = {
    "deletionTimestamp": END,
    "annotations": {LOST_TIME_ANNOTATION: LOST},
}


def container(state: dict[str, Any], last: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [
        {"name": "istio-proxy", "state": {"terminated": {"startedAt": END, "finishedAt": END}}},
        {"name": "runner", "state": state, "lastState": last or {}},
    ]


PODS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    # status and metadata, then when its container started and finished
    "waits": ({"containerStatuses": container(WAITING)}, None, None),
    "runs": ({"containerStatuses": container({"running": {"startedAt": START}})}, START, None),
    "ended": ({"containerStatuses": container({"terminated": OVER})}, START, END),
    "ended, as its last state alone says": (
        {"phase": "Failed", "containerStatuses": container(WAITING, {"terminated": OVER})},
        START,
        END,
    ),
    "runs again: the last state is another life's": (
        {"containerStatuses": container({"running": {"startedAt": START}}, {"terminated": OVER})},
        START,
        None,
    ),
    "never started, says containerd, in 1970": (
        {
            "containerStatuses": container(
                {"terminated": OVER | {"startedAt": "1970-01-01T00:00:00Z"}}
            )
        },
        None,
        END,
    ),
    "runs on a node that is lost": (
        {
            "containerStatuses": container({"running": {"startedAt": START}}),
            "metadata": DELETED_AND_LOST,
        },
        START,
        LOST,
    ),
}


@pytest.mark.parametrize("name", PODS)
def test_status_and_ledger_read_the_same_times(name: str) -> None:
    status, started, finished = PODS[name]
    metadata = status.get("metadata", {})
    status = {key: value for key, value in status.items() if key != "metadata"}
    manifest = make_pod(status=status, metadata=metadata)
    view = view_pod(manifest)
    sight = build_pod_sight(manifest, CONTEXT, seen_at=NOW)
    of_the_ledger = (
        None if sight.run is None else sight.run.started_at,
        None if sight.finish is None else sight.finish.finished_at,
    )
    assert of_the_ledger == (view.started_at, view.finished_at)
    assert of_the_ledger == tuple(
        None if text is None else datetime.fromisoformat(text) for text in (started, finished)
    )


def test_container_that_the_kubelet_lost_ended_with_its_node_for_both() -> None:
    lost = {"reason": "ContainerStatusUnknown", "exitCode": 137}
    status = {"phase": "Failed", "containerStatuses": container(WAITING, {"terminated": lost})}
    manifest = make_pod(status=status)
    view = view_pod(manifest)
    assert (view.phase, view.end_cause) == (PodPhase.ENDED, EndCause.NODE_LOST)
    sight = build_pod_sight(manifest, CONTEXT, seen_at=NOW, started_at=BEGAN)
    assert (view.finished_at, sight.finish) == (None, None), "nobody has said when"


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (5, "containerStatuses is not a list"),
        (container({"running": "since ten"}), "running is not an object"),
        ([{"name": "runner", "state": 5}], "state is not an object"),
        (container({"running": {"startedAt": "ten"}}), "startedAt is not an RFC 3339 time"),
    ],
)
def test_what_cannot_be_read_is_named(statuses: Any, words: str) -> None:
    with pytest.raises(RowError, match=words):
        build_pod_sight(make_pod(status={"containerStatuses": statuses}), CONTEXT, seen_at=NOW)
