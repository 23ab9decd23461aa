"""What a pod's manifest says of its running time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from soulbox.model.billing import EndSource
from soulbox.pure.fields import RowContext, RowError
from soulbox.pure.pods.sight import PodLife, build_pod_sight, container_started_at
from tests.support.make_mirrored import CLUSTER_UID, make_pod, merge, new_uid

CONTEXT = RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: f"tenant-{namespace}")
START, END = "2026-11-22T10:00:00Z", "2026-11-22T10:05:00Z"
STARTED = datetime(2026, 11, 22, 10, tzinfo=UTC)
ENDED = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
SEEN = datetime(2026, 11, 22, 10, 6, tzinfo=UTC)
LOST = "2026-11-22T10:04:30.250000Z"
LOST_AT = datetime(2026, 11, 22, 10, 4, 30, 250_000, tzinfo=UTC)


def runner(state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "containerStatuses": [
            {"name": "sidecar", "state": {"running": {"startedAt": "2020-01-01T00:00:00Z"}}},
            {"name": "runner", "state": state, "lastState": last or {}},
        ]
    }


UNKNOWN = {"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}}
WAITING = {"waiting": {"reason": "ContainerCreating"}}
DELETED = {"deletionTimestamp": END, "deletionGracePeriodSeconds": 30}

# What is told by the manifest: (changes, remembered start?, gone?) -> life.
LIVES: dict[str, tuple[dict[str, Any], bool, bool, PodLife]] = {
    "pending": ({}, False, False, PodLife.NOT_STARTED),
    "no status at all": ({"status": None}, False, False, PodLife.NOT_STARTED),
    "running": (
        {"status": {"phase": "Running", **runner({"running": {"startedAt": START}})}},
        False,
        False,
        PodLife.RUNNING,
    ),
    "running and being deleted": (
        {
            "metadata": DELETED,
            "status": {"phase": "Running", **runner({"running": {"startedAt": START}})},
        },
        False,
        False,
        PodLife.RUNNING,
    ),
    "its container could not be started, which containerd dates to 1970": (
        {
            "status": {
                "phase": "Failed",
                **runner(
                    {
                        "terminated": {
                            "reason": "StartError",
                            "exitCode": 128,
                            "startedAt": "1970-01-01T00:00:00Z",
                            "finishedAt": END,
                        }
                    }
                ),
            }
        },
        False,
        False,
        PodLife.NEVER_STARTED,
    ),
    "deleted while its container may be starting": (
        {"metadata": DELETED},
        False,
        False,
        PodLife.NOT_STARTED,
    ),
    "deleted before it had a node": (
        {"metadata": DELETED, "spec": {"nodeName": None}},
        False,
        False,
        PodLife.NEVER_STARTED,
    ),
    "deleted, and the kubelet says nothing of it runs": (
        {"metadata": {**DELETED, "deletionGracePeriodSeconds": 0}},
        False,
        False,
        PodLife.NEVER_STARTED,
    ),
    "failed without having started": (
        {"status": {"phase": "Failed", "reason": "Evicted", **runner(WAITING)}},
        False,
        False,
        PodLife.NEVER_STARTED,
    ),
    "gone without having started": ({}, False, True, PodLife.NEVER_STARTED),
    "gone while it ran": (
        {"status": {"phase": "Running", **runner({"running": {"startedAt": START}})}},
        False,
        True,
        PodLife.RUNNING,
    ),
    "container lost, start remembered": (
        {"status": {"phase": "Failed", **runner(UNKNOWN)}},
        True,
        False,
        PodLife.END_UNKNOWN,
    ),
    "container lost, never seen running": (
        {"status": {"phase": "Failed", **runner(UNKNOWN)}},
        False,
        False,
        PodLife.NEVER_STARTED,
    ),
    "container lost, told in its last state": (
        {"status": {"phase": "Running", **runner(WAITING, UNKNOWN)}},
        True,
        False,
        PodLife.END_UNKNOWN,
    ),
    "phase failed while the container is said to run": (
        {"status": {"phase": "Failed", **runner({"running": {"startedAt": START}})}},
        False,
        False,
        PodLife.RUNNING,
    ),
}


@pytest.mark.parametrize("what", LIVES)
def test_life_of_a_pod(what: str) -> None:
    changes, remembered, gone, want = LIVES[what]
    sight = build_pod_sight(
        merge(make_pod(), changes),
        CONTEXT,
        seen_at=SEEN,
        started_at=STARTED if remembered else None,
        gone_at=ENDED if gone else None,
    )
    assert sight.life is want
    has_run = want in (PodLife.RUNNING, PodLife.END_UNKNOWN)
    assert (sight.run is not None) is has_run
    if sight.run is not None:
        assert sight.run.started_at == STARTED
        assert sight.run.finished_at is None
        assert sight.run.deleted_at == (ENDED if gone else None)


def test_finished_pod_has_the_kubelets_times() -> None:
    sandbox = new_uid()
    pod = make_pod(sandbox_uid=sandbox, started=START, finished=END, cpu="1500m", memory="1Gi")
    sight = build_pod_sight(pod, CONTEXT, seen_at=SEEN)
    run = sight.run
    assert sight.life is PodLife.FINISHED
    assert run is not None
    assert (run.started_at, run.finished_at, run.end_source) == (STARTED, ENDED, EndSource.KUBELET)
    assert (run.sandbox_uid, run.execution_uid) == (UUID(sandbox), None)
    assert (run.cpu_millicores, run.memory_bytes, run.sku) == (1500, 2**30, "default")
    assert (run.user_name, run.owner_name, run.class_name) == ("ada", "box", "python")
    assert (run.incarnation, run.node, run.exit_reason) == (1, "node-1", "Completed")


def test_one_shot_pod_belongs_to_its_execution() -> None:
    execution = new_uid()
    sight = build_pod_sight(make_pod(execution_uid=execution, started=START), CONTEXT, seen_at=SEEN)
    assert sight.run is not None
    assert (sight.run.sandbox_uid, sight.run.execution_uid) == (None, UUID(execution))


def test_lost_node_ends_when_its_lease_was_last_renewed() -> None:
    going = {"deletionTimestamp": LOST, "annotations": {"soulbox.dev/lost-time": LOST}}
    lost = make_pod(started=START, metadata=going)
    sight = build_pod_sight(lost, CONTEXT, seen_at=SEEN)
    assert sight.life is PodLife.FINISHED
    assert sight.run is not None
    assert (sight.run.finished_at, sight.run.end_source, sight.run.exit_reason) == (
        LOST_AT,
        EndSource.LEASE,
        "NodeLost",
    )


def test_pod_that_lives_on_is_not_lost_whatever_stands_on_it() -> None:
    marked = make_pod(started=START, metadata={"annotations": {"soulbox.dev/lost-time": LOST}})
    sight = build_pod_sight(marked, CONTEXT, seen_at=SEEN)
    assert sight.life is PodLife.RUNNING
    assert sight.run is not None
    assert sight.run.finished_at is None


def test_kubelets_word_beats_the_lease() -> None:
    both = make_pod(
        started=START, finished=END, metadata={"annotations": {"soulbox.dev/lost-time": LOST}}
    )
    run = build_pod_sight(both, CONTEXT, seen_at=SEEN).run
    assert run is not None
    assert (run.finished_at, run.end_source) == (ENDED, EndSource.KUBELET)


def test_lost_pod_of_which_only_the_database_remembers_the_start_has_an_end() -> None:
    lost = make_pod(metadata={"annotations": {"soulbox.dev/lost-time": LOST}})
    lost["status"] = {"phase": "Failed", **runner(UNKNOWN)}
    sight = build_pod_sight(lost, CONTEXT, seen_at=SEEN)
    assert sight.run is None
    assert sight.finish is not None
    assert (sight.finish.finished_at, sight.finish.exit_reason) == (
        LOST_AT,
        "ContainerStatusUnknown",
    )


def test_reason_of_the_pod_is_told_before_that_of_the_container() -> None:
    evicted = make_pod(started=START, finished=END, status={"reason": "Evicted"})
    run = build_pod_sight(evicted, CONTEXT, seen_at=SEEN).run
    assert run is not None
    assert run.exit_reason == "Evicted"


def test_owner_reference_is_believed_before_a_label() -> None:
    owner = new_uid()
    pod = make_pod(sandbox_uid=owner, started=START)
    pod["metadata"]["labels"]["soulbox.dev/sandbox-uid"] = new_uid()
    run = build_pod_sight(pod, CONTEXT, seen_at=SEEN).run
    assert run is not None
    assert run.sandbox_uid == UUID(owner)


def test_label_is_believed_where_there_is_no_owner_reference_of_ours() -> None:
    sandbox = new_uid()
    pod = make_pod(sandbox_uid=sandbox, started=START)
    pod["metadata"]["ownerReferences"] = [
        "odd",
        {"apiVersion": "apps/v1", "kind": "Sandbox", "uid": new_uid()},
        {"apiVersion": "soulbox.dev/v1alpha1", "kind": "Sandbox", "uid": "x"},
    ]
    run = build_pod_sight(pod, CONTEXT, seen_at=SEEN).run
    assert run is not None
    assert run.sandbox_uid == UUID(sandbox)


def test_annotations_and_labels_that_are_missing_or_odd() -> None:
    pod = make_pod(started=START)
    pod["metadata"]["annotations"] = {"soulbox.dev/user": "a\x00b"}
    pod["metadata"]["labels"]["soulbox.dev/incarnation"] = "many"
    run = build_pod_sight(pod, CONTEXT, seen_at=SEEN).run
    assert run is not None
    assert (run.sku, run.user_name, run.incarnation) == ("default", "a\ufffdb", 0)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no owner": (
        {"metadata": {"ownerReferences": None, "labels": {"soulbox.dev/sandbox-uid": None}}},
        "neither soulbox.dev/sandbox-uid nor soulbox.dev/execution-uid is a UUID",
    ),
    "no container of ours": (
        {"spec": {"containers": [{"name": "other"}]}},
        "there is no container runner",
    ),
    "no limits": (
        {"spec": {"containers": [{"name": "runner", "resources": {}}]}},
        "limits of the container runner",
    ),
    "limits that are none": (
        {"spec": {"containers": [{"name": "runner", "resources": {"limits": {"cpu": "x"}}}]}},
        "limits of the container runner",
    ),
    "lost at no time": (
        {
            "metadata": {
                "deletionTimestamp": LOST,
                "annotations": {"soulbox.dev/lost-time": "late"},
            }
        },
        "soulbox.dev/lost-time is not an RFC 3339 time",
    ),
    "started at no time": (
        {"status": runner({"running": {"startedAt": "soon"}})},
        "startedAt is not an RFC 3339 time",
    ),
    "state is text": ({"status": runner({"running": "yes"})}, "running is not an object"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_pod_that_cannot_be_read_is_refused_by_name_of_the_field(what: str) -> None:
    changes, want_message = REFUSED[what]
    with pytest.raises(RowError, match=want_message):
        build_pod_sight(merge(make_pod(started=START), changes), CONTEXT, seen_at=SEEN)


def test_container_started_at() -> None:
    assert container_started_at(make_pod(started=START)) == STARTED
    assert container_started_at(make_pod(started=START, finished=END)) == STARTED
    assert container_started_at(make_pod()) is None
    assert container_started_at({"status": "odd"}) is None


def test_running_time_long_before_the_pod_was_made_is_no_bill() -> None:
    early = make_pod(created="2026-11-22T10:00:00Z", started="2026-11-20T10:00:00Z", finished=END)
    with pytest.raises(RowError, match=r"startedAt 2026-11-20 .* lies before the pod was made"):
        build_pod_sight(early, CONTEXT, seen_at=SEEN)
    skewed = make_pod(created="2026-11-22T10:00:00Z", started="2026-11-22T09:00:00Z", finished=END)
    assert build_pod_sight(skewed, CONTEXT, seen_at=SEEN).life is PodLife.FINISHED


@pytest.mark.parametrize(
    ("times", "want"),
    [
        (("2026-11-23T10:07:00Z", None), "startedAt"),
        ((START, "2026-11-23T10:07:00Z"), "finishedAt"),
        ((START, "9999-12-31T23:59:59Z"), "finishedAt"),
    ],
)
def test_running_time_that_has_not_been_yet_is_no_bill(
    times: tuple[str, str | None], want: str
) -> None:
    ahead = make_pod(created="2026-11-22T10:00:00Z", started=times[0], finished=times[1])
    with pytest.raises(RowError, match=rf"{want} .* lies after the pod was seen"):
        build_pod_sight(ahead, CONTEXT, seen_at=SEEN)


def test_end_of_a_pod_whose_start_is_forgotten_has_the_same_bound() -> None:
    going = {**DELETED, "annotations": {"soulbox.dev/lost-time": "2126-01-01T00:00:00Z"}}
    with pytest.raises(RowError, match="finishedAt"):
        build_pod_sight(make_pod(metadata=going), CONTEXT, seen_at=SEEN)


def test_limit_that_was_taken_off_the_pod_is_billed_as_it_was_asked_for() -> None:
    asked = {"soulbox.dev/limits": "cpu=1500m,memory=2Gi"}
    for left, want in (
        ({"memory": "1Gi"}, (1500, 2**30)),
        ({"cpu": "250m"}, (250, 2**31)),
        (None, (1500, 2**31)),
    ):
        pod = make_pod(started=START, finished=END, metadata={"annotations": asked})
        resources = {} if left is None else {"limits": left}
        pod["spec"]["containers"] = [{"name": "runner", "resources": resources}]
        run = build_pod_sight(pod, CONTEXT, seen_at=SEEN).run
        assert run is not None
        assert (run.cpu_millicores, run.memory_bytes) == want
