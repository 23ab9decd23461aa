"""A pod's manifest, read: phase, why it ended, why it does not start."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from soulbox.kinds.execution.decide.outcome import ending_of_pod
from soulbox.model.keys import INCARNATION_LABEL, LOST_TIME_ANNOTATION, RECORDED_FINALIZER
from soulbox.model.specs import NetworkProfile
from soulbox.model.states import SandboxReason
from soulbox.pure.pods.network_policy import profile_key
from soulbox.pure.pods.plan import build_pod
from soulbox.pure.pods.view import EndCause, PodPhase, Trouble, trouble_of_events, view_pod
from tests.support.seen import make_plan

STARTED = "2026-01-02T03:04:05Z"
FINISHED = "2026-01-02T03:05:05Z"


def make_pod(
    state: dict[str, Any] | None = None, *, metadata: Any = None, spec: Any = None, **status: Any
) -> dict[str, Any]:
    """A pod of ours whose runner container is in that state."""
    containers = [
        {"name": "istio-proxy", "state": {"terminated": {"reason": "Error"}}},
        {"name": "runner", "imageID": "repo@sha256:1", "state": state or {}},
    ]
    return {
        "metadata": {
            "name": "box-1",
            "namespace": "team-a",
            "uid": "u1",
            "creationTimestamp": STARTED,
            "labels": {INCARNATION_LABEL: "2"},
        }
        | (metadata or {}),
        "spec": {"nodeName": "node-1"} | (spec or {}),
        "status": {"containerStatuses": containers} | status,
    }


RUNNING = {"running": {"startedAt": STARTED}}


def ended(**terminated: Any) -> dict[str, Any]:
    """The state of a container that ended."""
    return {"terminated": {"startedAt": STARTED, "finishedAt": FINISHED} | terminated}


def test_everything_of_a_running_pod_is_read() -> None:
    pod = view_pod(
        make_pod(
            RUNNING,
            metadata={"finalizers": [RECORDED_FINALIZER]},
            spec={"runtimeClassName": "gvisor"},
            phase="Running",
            podIP="10.0.0.7",
        )
    )
    assert pod.phase is PodPhase.RUNNING
    assert (pod.uid, pod.name, pod.node, pod.ip) == ("u1", "box-1", "node-1", "10.0.0.7")
    assert (pod.image_id, pod.runtime_class) == ("repo@sha256:1", "gvisor")
    assert pod.started_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert pod.finished_at is None
    assert pod.end_cause is None
    assert pod.incarnation == 2
    assert pod.has_finalizer
    assert not pod.deleting


def test_pod_that_the_kubelet_has_not_seen_is_pending() -> None:
    pod = view_pod({"metadata": make_pod()["metadata"]})
    assert pod.phase is PodPhase.PENDING
    assert pod.trouble is None
    assert (pod.node, pod.ip, pod.image_id, pod.started_at) == (None, None, None, None)
    assert not pod.has_finalizer


LABELS = {
    "12": 12,
    "": 0,
    "-1": 0,
    "two": 0,
    "١": 0,  # a digit, though not one int() of ours wrote
    "999999": 999_999,
    "999999999": 0,
    "9999999999": 0,
}


@pytest.mark.parametrize("label", LABELS)
def test_incarnation_label_that_a_tenant_stomped_on_reads_as_zero(label: str) -> None:
    pod = view_pod(make_pod(metadata={"labels": {INCARNATION_LABEL: label}}))
    assert pod.incarnation == LABELS[label]


def test_labels_removed_by_hand_read_as_incarnation_zero() -> None:
    assert view_pod(make_pod(metadata={"labels": None})).incarnation == 0


def disruption(reason: str, status: str = "True") -> list[dict[str, str]]:
    return [
        {"type": "Ready", "status": "False"},
        {"type": "DisruptionTarget", "status": status, "reason": reason},
    ]


DELETING = {"metadata": {"deletionTimestamp": FINISHED}}

CAUSES: dict[str, tuple[dict[str, Any], EndCause]] = {
    "exited by itself": (make_pod(ended(exitCode=0)), EndCause.FINISHED),
    "exited while being deleted": (make_pod(ended(exitCode=143), **DELETING), EndCause.DELETED),
    "out of memory": (make_pod(ended(reason="OOMKilled", exitCode=137)), EndCause.OOM_KILLED),
    "container of a node that came back without it": (
        make_pod(ended(reason="ContainerStatusUnknown", exitCode=137)),
        EndCause.NODE_LOST,
    ),
    "evicted by the kubelet, as its condition says": (
        make_pod(ended(), conditions=disruption("TerminationByKubelet"), phase="Failed"),
        EndCause.EVICTED,
    ),
    "drained by the API": (
        make_pod(ended(), conditions=disruption("EvictionByEvictionAPI"), **DELETING),
        EndCause.EVICTED,
    ),
    "node tainted away": (
        make_pod(ended(), conditions=disruption("DeletionByTaintManager"), **DELETING),
        EndCause.NODE_LOST,
    ),
    "collected with the node that it was on": (
        make_pod(ended(), conditions=disruption("DeletionByPodGC"), phase="Failed", **DELETING),
        EndCause.NODE_LOST,
    ),
    "a disruption that did not happen": (
        make_pod(ended(exitCode=0), conditions=disruption("PreemptionByScheduler", "False")),
        EndCause.FINISHED,
    ),
    "evicted before it started": (make_pod(phase="Failed", reason="Evicted"), EndCause.EVICTED),
    "deadline": (
        make_pod(ended(exitCode=137), phase="Failed", reason="DeadlineExceeded"),
        EndCause.DEADLINE,
    ),
    "node lost": (make_pod(phase="Failed", reason="NodeLost"), EndCause.NODE_LOST),
    "node shut down": (make_pod(phase="Failed", reason="Terminated"), EndCause.NODE_LOST),
    "node shut down in time": (make_pod(phase="Failed", reason="NodeShutdown"), EndCause.NODE_LOST),
    "failed without a container": (make_pod(phase="Failed"), EndCause.UNKNOWN),
    "succeeded without a container": (make_pod(phase="Succeeded"), EndCause.UNKNOWN),
}


@pytest.mark.parametrize("name", CAUSES)
def test_why_a_pod_ended(name: str) -> None:
    manifest, want_cause = CAUSES[name]
    pod = view_pod(manifest)
    assert pod.phase is PodPhase.ENDED
    assert pod.end_cause is want_cause
    assert pod.trouble is None


def test_times_of_an_ended_container_are_the_kubelet_s() -> None:
    pod = view_pod(make_pod(ended(exitCode=0)))
    assert pod.started_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert pod.finished_at == datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)


LOST = {
    "annotations": {LOST_TIME_ANNOTATION: "2026-01-02T03:04:45Z"},
    "deletionTimestamp": FINISHED,
}


def test_pod_whose_node_fell_silent_ended_with_the_node_s_last_sign_of_life() -> None:
    pod = view_pod(make_pod(RUNNING, metadata=LOST, phase="Running"))
    assert pod.phase is PodPhase.ENDED
    assert pod.end_cause is EndCause.NODE_LOST
    assert pod.finished_at == datetime(2026, 1, 2, 3, 4, 45, tzinfo=UTC)


def test_lost_time_on_a_pod_that_nobody_deleted_is_a_tenant_s_and_ends_nothing() -> None:
    metadata = {"annotations": LOST["annotations"]}
    pod = view_pod(make_pod(RUNNING, metadata=metadata, phase="Running"))
    assert pod.phase is PodPhase.RUNNING
    assert pod.end_cause is None
    assert pod.finished_at is None


def test_container_s_own_end_counts_more_than_the_node_s_silence() -> None:
    pod = view_pod(make_pod(ended(reason="OOMKilled"), metadata=LOST))
    assert pod.end_cause is EndCause.OOM_KILLED
    assert pod.finished_at == datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)


def test_end_message_says_each_thing_once() -> None:
    pod = view_pod(
        make_pod(
            ended(reason="Evicted", exitCode=137),
            reason="Evicted",
            message="The node was low on resource: memory.",
        )
    )
    assert pod.end_message == ("Evicted; The node was low on resource: memory.; exit code 137")


def test_runner_that_was_told_to_go_explains_nothing() -> None:
    """Whose doing it was stands in the pod's DisruptionTarget condition."""
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    went = ended(reason="Completed", exitCode=0)
    deleting = {"deletionTimestamp": FINISHED}
    pod = view_pod(make_pod(went, metadata=deleting, conditions=[target]))
    assert (pod.end_cause, pod.end_message) == (EndCause.EVICTED, "Eviction API: evicting")
    assert view_pod(make_pod(went, metadata=deleting)).end_message == ""
    assert view_pod(make_pod(went)).end_message == "Completed; exit code 0"


def test_pod_that_goes_says_whose_doing_it_is_before_it_has_ended() -> None:
    """Its runner goes first: what ran in it must not be told that somebody deleted the pod."""
    for reason, want in (
        ("EvictionByEvictionAPI", EndCause.EVICTED),
        ("DeletionByTaintManager", EndCause.NODE_LOST),
    ):
        goes = make_pod(RUNNING, conditions=disruption(reason), **DELETING)
        assert (view_pod(goes).phase, view_pod(goes).end_cause) == (PodPhase.RUNNING, want)
        assert ending_of_pod(view_pod(goes), started=True).reason.value == want.value
    assert view_pod(make_pod(RUNNING, **DELETING)).end_cause is None
    stays = make_pod(RUNNING, conditions=disruption("EvictionByEvictionAPI"))
    assert view_pod(stays).end_cause is None


def test_end_message_has_no_words_that_a_program_may_have_written() -> None:
    forged = ended(reason="Error", message="\x1b]0;owned\x07 bill me", exitCode=137)
    assert view_pod(make_pod(forged)).end_message == "Error; exit code 137"
    unstarted = ended(reason="StartError", message="exec: no such file", exitCode=128)
    assert view_pod(make_pod(unstarted)).end_message == (
        "StartError; exec: no such file; exit code 128"
    )


def test_end_message_is_bounded() -> None:
    pod = view_pod(make_pod(ended(reason="StartError", message="x" * 5000, exitCode=1)))
    assert len(pod.end_message) == 1024


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


UNSCHEDULABLE = [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
]

TROUBLES: dict[str, tuple[dict[str, Any], tuple[str, str] | None]] = {
    "just made": (make_pod(), None),
    "creating": (make_pod(waiting("ContainerCreating")), None),
    "pull error": (
        make_pod(waiting("ErrImagePull", "manifest unknown")),
        ("ImagePullFailed", "manifest unknown"),
    ),
    "pull back-off without words": (
        make_pod(waiting("ImagePullBackOff")),
        ("ImagePullFailed", "ImagePullBackOff"),
    ),
    "config error": (
        make_pod(waiting("CreateContainerConfigError", "no secret")),
        ("StartFailed", "CreateContainerConfigError: no secret"),
    ),
    "run error": (
        make_pod(waiting("RunContainerError", "exec format")),
        ("StartFailed", "RunContainerError: exec format"),
    ),
    "runner that ends as soon as it is started": (
        make_pod(waiting("CrashLoopBackOff", "back-off 10s")),
        ("StartFailed", "CrashLoopBackOff: back-off 10s"),
    ),
    "no node": (make_pod(conditions=UNSCHEDULABLE), ("Unschedulable", "0/1 nodes")),
    "another reason not to be scheduled": (
        make_pod(conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
        None,
    ),
    "running: no trouble however it once waited": (
        make_pod(RUNNING, conditions=UNSCHEDULABLE),
        None,
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_why_a_pod_does_not_start(name: str) -> None:
    manifest, want_trouble = TROUBLES[name]
    trouble = view_pod(manifest).trouble
    found = None if trouble is None else (trouble.reason.value, trouble.message)
    assert found == want_trouble


def test_pod_says_what_it_was_made_with() -> None:
    plan = make_plan(network_profile=NetworkProfile(name="web"))
    manifest = build_pod(plan)
    manifest["metadata"] |= {"uid": "u", "creationTimestamp": STARTED}
    pod = view_pod(manifest)
    assert (pod.cpu_millicores, pod.memory_bytes) == (250, 256 * 2**20)
    assert pod.network_profile == profile_key(plan.network_profile)


ODD: dict[str, dict[str, Any]] = {
    "no container of ours": {},
    "no limit": {"containers": [{"name": "runner"}]},
    "no quantity": {"containers": [{"name": "runner", "resources": {"limits": {"cpu": "much"}}}]},
}


@pytest.mark.parametrize("name", ODD)
def test_pod_that_says_nothing_that_can_be_read(name: str) -> None:
    pod = view_pod(make_pod(spec=ODD[name]))
    assert (pod.cpu_millicores, pod.memory_bytes, pod.network_profile) == (None, None, None)


def test_container_that_could_not_be_started_did_not_start_in_1970() -> None:
    """As containerd has it."""
    terminated = {"reason": "StartError", "exitCode": 128, "finishedAt": FINISHED}
    pod = view_pod(make_pod({"terminated": {**terminated, "startedAt": "1970-01-01T00:00:00Z"}}))
    assert (pod.phase, pod.started_at) == (PodPhase.ENDED, None)
    assert pod.finished_at == datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)


def event(reason: str, second: int, **fields: Any) -> dict[str, Any]:
    return {"reason": reason, "lastTimestamp": f"2026-01-02T03:04:{second:02}Z"} | fields


def test_events_say_why_a_pod_s_sandbox_or_volume_cannot_be_made() -> None:
    events = [
        event("FailedMount", 1, message='MountVolume failed for volume "w"'),
        event("FailedCreatePodSandBox", 2, message='no runtime for "gvisor" is configured'),
        event("BackOff", 3, message="of the image"),
    ]
    trouble = trouble_of_events(events)
    assert trouble == Trouble(
        reason=SandboxReason.START_FAILED,
        message='FailedCreatePodSandBox: no runtime for "gvisor" is configured',
        of_events=True,
    )
    assert trouble_of_events(events[2:]) is None
    assert trouble_of_events([]) is None
    # A mount that failed once, and an image that is being pulled since.
    assert trouble_of_events([*events, event("Pulling", 2)]) is None
    assert trouble_of_events([event("Pulled", 1), *events]) == trouble


@pytest.mark.parametrize(
    "reason", ["ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"]
)
def test_image_that_cannot_be_had_is_named(reason: str) -> None:
    waiting = {"name": "runner", "state": {"waiting": {"reason": reason, "message": "words"}}}
    manifest = build_pod(make_plan()) | {
        "status": {"phase": "Pending", "containerStatuses": [waiting]}
    }
    manifest["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z"}
    trouble = view_pod(manifest).trouble
    assert trouble == Trouble(reason=SandboxReason.IMAGE_PULL_FAILED, message="words")
