"""A pod whose network policy was not seen in force: what is said of it, and when it is given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.sandbox.decide.decision import decide_sandbox
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.model.states import PolicyFinding
from soulbox.pure.actions import CreatePod, DeletePod, PostEvent, ProbeRunner, WriteStatus
from soulbox.pure.pods.enforcement import Unenforced
from tests.support.fix_clock import at
from tests.support.seen import (
    POD_UID,
    make_class_spec,
    make_ended_pod,
    make_one_shot,
    make_pod,
    make_seen_sandbox,
)

PROBE = ProbeRunner(pod_uid=POD_UID)


def unenforced(
    seconds: float, finding: PolicyFinding = PolicyFinding.CONNECTED, detail: str = ""
) -> Unenforced:
    return Unenforced(finding=finding, detail=detail, seconds=seconds, limit_seconds=30.0)


def waiting_sandbox(seconds: float, *, replace_lost_pods: bool = True) -> SeenSandbox:
    return make_seen_sandbox(
        make_pod(),
        unenforced={POD_UID: unenforced(seconds)},
        sandbox_class=make_class_spec(replace_lost_pods=replace_lost_pods),
    )


WORDS = {
    PolicyFinding.CONNECTED: ("could connect to the operator", "soulbox doctor --probe-network"),
    PolicyFinding.TRANSLATED: (
        "address is translated",
        "Run the operator as a pod",
        "from 10.0.0.9",
    ),
    PolicyFinding.UNTRIED: ("could not be tried", "from 10.0.0.9"),
}


@pytest.mark.parametrize("finding", WORDS)
def test_message_says_what_was_seen_and_what_to_do(finding: PolicyFinding) -> None:
    message = unenforced(9, finding, "from 10.0.0.9").message
    for words in WORDS[finding]:
        assert words in message
    assert (finding is PolicyFinding.UNTRIED) != ("network.requireEnforcement: false" in message)


def test_sandbox_says_nothing_of_a_plugin_that_is_a_little_late() -> None:
    decision = decide_sandbox(waiting_sandbox(4), at(4))
    assert decision.actions == (PROBE,)
    assert decision.requeue_after_seconds == pytest.approx(1.0)


def test_sandbox_tells_what_it_waits_for_and_goes_on_looking() -> None:
    decision = decide_sandbox(waiting_sandbox(6), at(6))
    write, event, probe = decision.actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (write.status["state"], write.status["reason"]) == ("Starting", "NetworkNotEnforced")
    assert "No code was started in it." in write.status["message"]
    assert (event.type, event.reason, event.message) == (
        "Warning", "NetworkNotEnforced", write.status["message"],
    )  # fmt: skip
    assert probe == PROBE
    assert decision.requeue_after_seconds == pytest.approx(24.0)


def test_sandbox_gives_its_pod_up_and_the_reason_stays_until_the_next_one() -> None:
    seen = waiting_sandbox(30)
    write, event, delete = decide_sandbox(seen, at(30)).actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (write.status["state"], write.status["reason"]) == ("Error", "NetworkNotEnforced")
    assert write.status["message"].endswith("It gets another pod.")
    (reconciling,) = [c for c in write.status["conditions"] if c["type"] == "Reconciling"]
    assert reconciling["message"] == event.message == write.status["message"]
    assert delete == DeletePod(pod_uid=POD_UID)

    status = {**seen.status, **write.status}
    going = replace(seen, status=status, pods=(make_pod(deleting=True),))
    assert decide_sandbox(going, at(31)).actions == ()
    ended = replace(going, pods=(make_ended_pod(deleting=True),))
    write, *_ = decide_sandbox(ended, at(32)).actions
    assert isinstance(write, WriteStatus)
    assert write.status["reason"] == "NetworkNotEnforced"
    assert write.status["runtimeSeconds"] == 10, "it is billed, and counted"
    # Three such pods in a row: the fourth waits for three seconds from the last one's end.
    gone = replace(going, pods=(), short_lives=3, last_end=at(32))
    assert decide_sandbox(gone, at(33)).actions == ()
    assert decide_sandbox(gone, at(33)).requeue_after_seconds == pytest.approx(2.0)
    assert isinstance(decide_sandbox(gone, at(35)).actions[-1], CreatePod)


def test_sandbox_whose_pods_are_not_replaced_is_over() -> None:
    seen = waiting_sandbox(30, replace_lost_pods=False)
    write, *_ = decide_sandbox(seen, at(30)).actions
    assert isinstance(write, WriteStatus)
    assert (write.status["state"], write.status["reason"]) == ("Terminated", "NetworkNotEnforced")
    status = {**seen.status, **write.status}
    ended = replace(seen, status=status, pods=(make_ended_pod(deleting=True),))
    assert not [
        one for one in decide_sandbox(ended, at(31)).actions if isinstance(one, WriteStatus)
    ]


def test_one_shot_waits_tells_and_fails() -> None:
    seen = replace(make_one_shot(make_pod()), pod_ready=False)
    quiet = decide_execution(replace(seen, unenforced=unenforced(1)), at(1.5))
    assert quiet.actions == (PROBE,)

    write, probe = decide_execution(replace(seen, unenforced=unenforced(6)), at(4)).actions
    assert isinstance(write, WriteStatus)
    assert write.status["state"] == "Queued"
    assert "which the policy forbids" in write.status["message"]
    assert probe == PROBE

    *_, write, event = decide_execution(replace(seen, unenforced=unenforced(30)), at(31)).actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (write.status["state"], write.status["reason"]) == ("Failed", "NetworkNotEnforced")
    assert write.status["message"].endswith("None of its code ran.")
    assert event.reason == "NetworkNotEnforced"
    assert "output" not in write.status
