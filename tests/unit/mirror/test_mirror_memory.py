"""What the mirror remembers, and what becomes of objects that no row can be made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror.items import ItemBuilder, dead_letter, dead_program, to_json
from soulbox.mirror.metering import provable
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import Tracker
from soulbox.model.errors import StoreRefused
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext, RowError
from soulbox.pure.metering import PROOF_MARGIN
from tests.support.make_mirrored import (
    CLUSTER_UID,
    make_execution,
    make_finished_execution,
    make_pod,
    make_sandbox,
    merge,
    new_uid,
)

CONTEXT = RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: f"tenant-{namespace}")
BUILDER = ItemBuilder(ENTRIES, CONTEXT)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DELETING = {"metadata": {"deletionTimestamp": "2026-11-22T11:00:00Z"}}


def seen(kind: Kind, manifest: Any, *, version: int = 1, deleted: bool = False) -> Sighting:
    metadata = manifest.get("metadata")
    uid = metadata.get("uid") if isinstance(metadata, dict) else "no-uid"
    return Sighting(
        kind=kind,
        uid=str(uid),
        manifest=manifest,
        version=version,
        deleted=deleted,
        seen_at=NOW,
        waiting_since=0.0,
    )


def test_tracker_remembers_the_start_a_later_version_forgets() -> None:
    tracker, uid = Tracker(ENTRIES), new_uid()
    tracker.see(seen(Kind.POD, make_pod(uid=uid)))
    assert tracker.started_at(uid) is None
    tracker.see(seen(Kind.POD, make_pod(uid=uid, started="2026-11-22T10:00:00Z")))
    tracker.see(seen(Kind.POD, make_pod(uid=uid)))
    assert tracker.started_at(uid) == datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_tracker_tells_news_once_and_nothing_of_what_is_gone() -> None:
    tracker, sandbox = Tracker(ENTRIES), make_sandbox()
    uid = sandbox["metadata"]["uid"]
    assert not tracker.set_recorded(uid)
    tracker.see(seen(Kind.SANDBOX, sandbox))
    assert tracker.set_recorded(uid)
    assert not tracker.set_recorded(uid)
    assert tracker.is_recorded(uid)
    tracker.forget([uid, "unknown"])
    assert not tracker.is_recorded(uid)
    assert len(tracker) == 0


def test_sandbox_is_not_recorded_while_a_newer_version_waits_but_an_execution_stays_so() -> None:
    tracker, sandbox, execution = Tracker(ENTRIES), make_sandbox(), make_finished_execution()
    for kind, manifest in ((Kind.SANDBOX, sandbox), (Kind.EXECUTION, execution)):
        tracker.see(seen(kind, manifest))
        tracker.set_recorded(manifest["metadata"]["uid"])
        tracker.see(seen(kind, manifest))
    assert not tracker.is_recorded(sandbox["metadata"]["uid"])
    assert tracker.is_recorded(execution["metadata"]["uid"])


def test_tracker_knows_whose_an_execution_is() -> None:
    tracker, execution = Tracker(ENTRIES), make_execution(spec={"user": "ada"})
    assert tracker.owner("unknown") is None
    tracker.see(seen(Kind.EXECUTION, execution))
    assert tracker.owner(execution["metadata"]["uid"]) == ("team-a", "ada")
    odd = make_execution(spec="odd", metadata={"namespace": 5})
    tracker.see(seen(Kind.EXECUTION, odd))
    assert tracker.owner(odd["metadata"]["uid"]) == ("", "")


def test_tracker_of_unknown_objects_says_nothing_and_keeps_nothing() -> None:
    tracker, sighting = Tracker(ENTRIES), seen(Kind.POD, make_pod())
    tracker.set_metered(sighting.uid, NOW)
    tracker.set_buried(sighting)
    assert tracker.metered_until(sighting.uid) is None
    assert not tracker.is_buried(sighting)
    assert tracker.started_at(sighting.uid) is None
    assert len(tracker) == 0


def test_only_the_version_that_was_buried_is_not_tried_again() -> None:
    tracker, sandbox = Tracker(ENTRIES), make_sandbox()
    tracker.see(seen(Kind.SANDBOX, sandbox))
    tracker.set_buried(seen(Kind.SANDBOX, sandbox, version=5))
    assert tracker.is_buried(seen(Kind.SANDBOX, sandbox, version=5))
    assert not tracker.is_buried(seen(Kind.SANDBOX, sandbox, version=6))


FINALS: dict[str, tuple[Kind, dict[str, Any], bool, bool]] = {
    "a Sandbox": (Kind.SANDBOX, make_sandbox(), False, False),
    "a Sandbox being deleted": (Kind.SANDBOX, merge(make_sandbox(), DELETING), False, True),
    "a Sandbox that is gone": (Kind.SANDBOX, make_sandbox(), True, True),
    "an Execution at work": (Kind.EXECUTION, make_execution(), False, False),
    "an unfinished one being deleted": (
        Kind.EXECUTION,
        merge(make_execution(), DELETING),
        False,
        False,
    ),
    "an Execution that ended": (Kind.EXECUTION, make_finished_execution(), False, True),
    "an Execution that is gone": (Kind.EXECUTION, make_execution(), True, True),
    "a malformed pod": (Kind.POD, {"metadata": 5, "status": 5}, False, False),
    "a running pod": (Kind.POD, make_pod(started="2026-11-22T10:00:00Z"), False, False),
    "a failed pod": (Kind.POD, make_pod(status={"phase": "Failed"}), False, True),
    "a pod being deleted": (Kind.POD, merge(make_pod(), DELETING), False, True),
}


@pytest.mark.parametrize("what", FINALS)
def test_is_final(what: str) -> None:
    kind, manifest, deleted, want = FINALS[what]
    assert BUILDER.is_final(seen(kind, manifest, deleted=deleted)) is want


EVERY_KIND = (Kind.SANDBOX, Kind.EXECUTION, Kind.POD)
TRIPS: dict[str, tuple[tuple[Kind, ...], Any]] = {
    "empty": (EVERY_KIND, {}),
    "uid is a number": (EVERY_KIND, {"metadata": {"uid": 5}}),
    "nothing is an object": (EVERY_KIND, {"metadata": "x", "spec": [], "status": 1}),
    "containers are a number": (
        (Kind.POD,),
        make_pod(spec={"containers": 5}, started="2026-11-22T10:00:00Z"),
    ),
    "container statuses are a number": ((Kind.POD,), make_pod(status={"containerStatuses": 5})),
}


@pytest.mark.parametrize("what", TRIPS)
def test_whatever_a_builder_trips_over_is_a_row_error(what: str) -> None:
    kinds, manifest = TRIPS[what]
    for kind in kinds:
        with pytest.raises(RowError):
            BUILDER.build(seen(kind, manifest))


def test_kind_that_is_not_mirrored_is_a_row_error() -> None:
    with pytest.raises(RowError, match="Namespace is not mirrored"):
        BUILDER.build(seen(Kind.NAMESPACE, make_sandbox()))


def test_dead_letter_holds_the_whole_object_even_what_postgresql_cannot() -> None:
    manifest = make_finished_execution(stdout="a\x00\ud800")
    refusal = StoreRefused("no", sqlstate="23514", constraint="executions_state_known")
    letter = dead_letter(seen(Kind.EXECUTION, manifest), refusal, CONTEXT)
    assert json.loads(letter.payload) == manifest
    assert letter.payload.isascii()
    assert (letter.kind, letter.name, letter.namespace) == ("Execution", "run", "team-a")
    assert (letter.sqlstate, letter.constraint_name) == ("23514", "executions_state_known")
    assert letter.tenant == "tenant-team-a"


def test_dead_letter_of_an_object_without_names() -> None:
    letter = dead_letter(seen(Kind.POD, {"metadata": 5}), RowError("odd"), CONTEXT)
    assert (letter.tenant, letter.name, letter.sqlstate) == (None, None, None)
    named = dead_letter(seen(Kind.POD, {"metadata": {"name": "\x00"}}), RowError("odd"), CONTEXT)
    assert named.name is None


def test_dead_program_is_named_by_its_hash() -> None:
    item = BUILDER.build(seen(Kind.EXECUTION, make_execution()))
    assert item.program is not None
    letter = dead_program(item, StoreRefused("no", sqlstate="54000"), CONTEXT)
    assert (letter.kind, letter.uid) == ("Program", item.program.code_sha256)


def test_to_json_writes_what_json_does_not_know_as_text() -> None:
    assert to_json({"at": NOW}) == '{"at":"2026-11-22 12:00:00+00:00"}'


def test_provable_hours_of_a_running_pod() -> None:
    tracker = Tracker(ENTRIES)
    pod = seen(Kind.POD, make_pod(started="2026-11-22T09:30:00Z"))
    tracker.see(pod)
    ten = datetime(2026, 11, 22, 10, tzinfo=UTC)

    def ask(renewed: datetime | None) -> datetime | None:
        return provable(pod, tracker, lambda node: renewed if node == "node-1" else None)

    assert ask(None) is None
    assert ask(ten) is None
    proof = ten + PROOF_MARGIN
    assert ask(proof) == proof
    tracker.set_metered(pod.uid, proof)
    assert ask(proof + timedelta(minutes=30)) is None
    later = ten + timedelta(hours=1) + PROOF_MARGIN
    assert ask(later) == later


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(make_pod(), id="not started"),
        pytest.param(
            make_pod(started="2026-11-22T08:00:00Z", spec={"nodeName": None}), id="no node"
        ),
        pytest.param(make_pod(started="2026-11-22T08:00:00Z", spec="odd"), id="malformed"),
    ],
)
def test_nothing_is_provable_of_a_pod_without_start_or_node(manifest: Any) -> None:
    assert provable(seen(Kind.POD, manifest), Tracker(ENTRIES), lambda _: NOW) is None
