"""What is seen goes to cache and mirror, and wakes exactly the keys it concerns."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import pytest

from soulbox.app.handlers import Intake, build_registry, build_settings
from soulbox.app.queue import WorkQueue
from soulbox.kinds.controllers import build_followers
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.objects import Objects
from soulbox.kube.auth import Credentials
from soulbox.kube.clock import ServerClock
from soulbox.model.keys import (
    API_VERSION,
    DISPATCHED_ANNOTATION,
    RECORDED_FINALIZER,
    SANDBOX_UID_LABEL,
)
from soulbox.model.kinds import WATCHED
from soulbox.model.states import Kind
from soulbox.pure.prices import PriceBook
from soulbox.telemetry.metrics import Metrics
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class, stored
from tests.support.fix_clock import settle, virtual_time
from tests.unit.kube.scripted import write_kubeconfig

BOX, RUN, POD = Kind.SANDBOX, Kind.EXECUTION, Kind.POD


class Offered:
    """A recorder that remembers what it was offered."""

    def __init__(self) -> None:
        self.offers: list[tuple[Kind, str, bool]] = []
        self.manifests: list[Mapping[str, Any]] = []

    def offer(self, kind: Kind, manifest: Mapping[str, Any], *, deleted: bool = False) -> None:
        self.offers.append((kind, manifest["metadata"]["uid"], deleted))
        self.manifests.append(manifest)

    def is_recorded(self, uid: str) -> bool:
        return False

    def is_spooled(self, uid: str) -> bool:
        return False

    def price_book(self) -> PriceBook | None:
        return None

    def tenant_of(self, namespace: str) -> str:
        return namespace


class Bench:
    """An intake whose queue tells which keys it was given."""

    def __init__(self) -> None:
        self.cache = Objects()
        self.mirror = Offered()
        self.metrics = Metrics()
        self.stripped: list[str] = []
        self._woken: set[tuple[Kind, str]] = set()
        self.queue = WorkQueue(
            {BOX: self._note(BOX), RUN: self._note(RUN)}, self.metrics, workers=2
        )
        self.followers = build_followers(
            self.cache,
            self.queue,
            Turns(self.cache.executions),
            ServerClock(lambda: 0.0, lambda: 0.0),
        )
        self.intake = Intake(
            self.cache,
            self.mirror,
            self.queue,
            self.metrics,
            on_stripped=lambda pod: self.stripped.append(pod["metadata"]["uid"]),
            followers=self.followers.by_kind,
        )

    def _note(self, kind: Kind) -> Callable[[str], Coroutine[Any, Any, None]]:
        async def note(uid: str) -> None:
            self._woken.add((kind, uid))

        return note

    async def woken(self) -> set[tuple[Kind, str]]:
        """Keys that were queued since the last call."""
        task = asyncio.create_task(self.queue.run())
        await settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        found, self._woken = self._woken, set()
        return found


def with_bench(
    test: Callable[[Bench], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    """A test in virtual time with a bench of its own."""

    @virtual_time
    async def run() -> None:
        await test(Bench())

    functools.update_wrapper(run, test)
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


def box(uid: str = "b", *, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """Sandbox `box` of namespace default."""
    return stored(make_sandbox(), uid=uid, **metadata) | {"status": status or {}}


def run_of_box(
    uid: str, state: str = "Queued", *, dispatched: bool = False, **metadata: Any
) -> dict[str, Any]:
    """An Execution that names Sandbox `box`."""
    annotations = {DISPATCHED_ANNOTATION: "p/1"} if dispatched else {}
    manifest = stored(make_execution(name=uid), uid=uid, annotations=annotations, **metadata)
    return manifest | {"status": {"state": state}}


def pod_of(kind: str, owner: str, uid: str = "p", **metadata: Any) -> dict[str, Any]:
    """A pod that this Sandbox or Execution owns."""
    reference = {"apiVersion": API_VERSION, "kind": kind, "uid": owner, "name": "box"}
    return stored(
        {"metadata": {"name": uid, "namespace": "default"}},
        uid=uid,
        labels={SANDBOX_UID_LABEL: owner},
        ownerReferences=[reference],
        **metadata,
    )


@with_bench
async def test_new_sandbox_wakes_itself_and_who_waits_for_it(bench: Bench) -> None:
    bench.intake.event(RUN, "ADDED", run_of_box("e1"))
    bench.intake.event(RUN, "ADDED", run_of_box("e2", "Completed"))
    await bench.woken()
    bench.intake.event(BOX, "ADDED", box())
    assert await bench.woken() == {(BOX, "b"), (RUN, "e1")}


@with_bench
async def test_deleted_sandbox_wakes_who_waits_for_it(bench: Bench) -> None:
    bench.intake.event(BOX, "ADDED", box())
    bench.intake.event(RUN, "ADDED", run_of_box("e1"))
    await bench.woken()
    bench.intake.event(BOX, "DELETED", box())
    assert await bench.woken() == {(BOX, "b"), (RUN, "e1")}
    assert bench.cache.get(BOX, "b") is None
    assert bench.mirror.offers[-1] == (BOX, "b", True)


@with_bench
async def test_new_execution_wakes_itself_only(bench: Bench) -> None:
    bench.intake.event(BOX, "ADDED", box())
    bench.intake.event(RUN, "ADDED", run_of_box("e1"))
    await bench.woken()
    bench.intake.event(RUN, "ADDED", run_of_box("e2"))
    assert await bench.woken() == {(RUN, "e2")}


@with_bench
async def test_ended_execution_wakes_the_first_that_waits(bench: Bench) -> None:
    bench.intake.event(BOX, "ADDED", box())
    for uid, dispatched in (("e1", True), ("e2", True), ("e3", False), ("e4", False)):
        bench.intake.event(RUN, "ADDED", run_of_box(uid, dispatched=dispatched))
    await bench.woken()
    ended = run_of_box("e1", "Completed", dispatched=True, resourceVersion="2")
    bench.intake.event(RUN, "MODIFIED", ended)
    assert await bench.woken() == {(RUN, "e1"), (RUN, "e3")}


@with_bench
async def test_two_that_end_together_make_room_for_two(bench: Bench) -> None:
    roomy = box()
    roomy["spec"]["maxConcurrentExecutions"] = 2
    bench.intake.event(BOX, "ADDED", roomy)
    for uid, dispatched in (
        ("e1", True),
        ("e2", True),
        ("e3", False),
        ("e4", False),
        ("e5", False),
    ):
        bench.intake.event(RUN, "ADDED", run_of_box(uid, dispatched=dispatched))
    await bench.woken()
    for uid in ("e1", "e2"):
        ended = run_of_box(uid, "Completed", dispatched=True, resourceVersion="2")
        bench.intake.event(RUN, "MODIFIED", ended)
    assert await bench.woken() == {(RUN, uid) for uid in ("e1", "e2", "e3", "e4")}


@with_bench
async def test_deleted_execution_makes_room_too_and_is_recorded_as_cancelled(bench: Bench) -> None:
    bench.intake.event(BOX, "ADDED", box())
    bench.intake.event(RUN, "ADDED", run_of_box("e1"))
    bench.intake.event(RUN, "ADDED", run_of_box("e2"))
    await bench.woken()
    bench.intake.event(RUN, "DELETED", run_of_box("e1"))
    assert await bench.woken() == {(RUN, "e1"), (RUN, "e2")}
    assert bench.mirror.offers[-1] == (RUN, "e1", True)
    assert bench.mirror.manifests[-1]["status"]["state"] == "Cancelled"


ENDING = {
    "deleted": box(deletionTimestamp="2026-01-02T03:04:05Z", finalizers=[RECORDED_FINALIZER]),
    "terminated": box(status={"state": "Terminated"}),
}


@pytest.mark.parametrize("sandbox", ENDING.values(), ids=ENDING.keys())
@virtual_time
async def test_sandbox_that_ends_goes_on_when_its_run_has_ended(sandbox: dict[str, Any]) -> None:
    bench = Bench()
    bench.intake.event(BOX, "ADDED", sandbox)
    bench.intake.event(RUN, "ADDED", run_of_box("e1", dispatched=True))
    await bench.woken()
    ended = run_of_box("e1", "Failed", dispatched=True, resourceVersion="2")
    bench.intake.event(RUN, "MODIFIED", ended)
    assert await bench.woken() == {(RUN, "e1"), (BOX, "b")}


@with_bench
async def test_change_of_an_execution_has_its_sandbox_counted_later(bench: Bench) -> None:
    bench.intake.event(BOX, "ADDED", box())
    await bench.woken()
    bench.intake.event(RUN, "ADDED", run_of_box("e1"))
    assert await bench.woken() == {(RUN, "e1")}
    assert bench.queue.statistics().delayed == 1
    await asyncio.sleep(31)
    assert await bench.woken() == {(BOX, "b")}


@with_bench
async def test_one_shot_that_ends_concerns_nobody_else(bench: Bench) -> None:
    one_shot = stored(make_execution(sandboxRef=None, className="python"), uid="e1")
    bench.intake.event(RUN, "ADDED", one_shot)
    bench.intake.event(
        RUN,
        "MODIFIED",
        one_shot | {"status": {"state": "Completed"}},
    )
    assert await bench.woken() == {(RUN, "e1")}
    assert bench.queue.statistics().delayed == 0


@with_bench
async def test_pod_of_a_sandbox_wakes_it_and_what_runs_there(bench: Bench) -> None:
    bench.intake.event(BOX, "ADDED", box())
    bench.intake.event(RUN, "ADDED", run_of_box("e1", dispatched=True))
    bench.intake.event(RUN, "ADDED", run_of_box("e2"))
    await bench.woken()
    bench.intake.event(POD, "ADDED", pod_of("Sandbox", "b"))
    assert await bench.woken() == {(BOX, "b"), (RUN, "e1")}
    bench.intake.event(POD, "DELETED", deleting(pod_of("Sandbox", "b")))
    assert await bench.woken() == {(BOX, "b"), (RUN, "e1")}
    assert bench.mirror.offers[-1] == (POD, "p", True)


@with_bench
async def test_pod_whose_sandbox_is_gone_wakes_what_ran_there_by_name(bench: Bench) -> None:
    bench.intake.event(RUN, "ADDED", run_of_box("e1", dispatched=True))
    await bench.woken()
    bench.intake.event(POD, "DELETED", deleting(pod_of("Sandbox", "b")))
    assert await bench.woken() == {(BOX, "b"), (RUN, "e1")}


@with_bench
async def test_pod_of_a_one_shot_wakes_its_execution(bench: Bench) -> None:
    bench.intake.event(POD, "ADDED", pod_of("Execution", "e1"))
    assert await bench.woken() == {(RUN, "e1")}


FOREIGN: dict[str, list[dict[str, Any]] | None] = {
    "no owner": None,
    "another API's owner": [{"apiVersion": "apps/v1", "kind": "Sandbox", "uid": "b"}],
    "an owner of no kind of ours": [{"apiVersion": API_VERSION, "kind": "Pool", "uid": "b"}],
}


@pytest.mark.parametrize("references", FOREIGN.values(), ids=FOREIGN.keys())
@virtual_time
async def test_tenant_s_pod_with_our_labels_wakes_nobody(references: list[Any] | None) -> None:
    bench = Bench()
    manifest = pod_of("Sandbox", "b")
    manifest["metadata"]["ownerReferences"] = references
    bench.intake.event(POD, "ADDED", manifest)
    assert await bench.woken() == set()


def deleting(manifest: dict[str, Any]) -> dict[str, Any]:
    """As a watch tells of the last version of one that was deleted."""
    metadata = {**manifest["metadata"], "deletionTimestamp": "2026-01-02T03:04:05Z"}
    return {**manifest, "metadata": metadata}


@with_bench
async def test_pod_that_lost_our_label_is_no_pod_that_was_deleted(bench: Bench) -> None:
    kept = pod_of("Sandbox", "b", finalizers=[RECORDED_FINALIZER])
    bench.intake.event(POD, "ADDED", kept)
    await bench.woken()
    bench.intake.event(POD, "DELETED", kept)
    assert bench.stripped == ["p"]
    # Its finalizer was taken off before: whether it exists is asked of the API server.
    bench.intake.event(POD, "DELETED", pod_of("Sandbox", "b"))
    assert bench.stripped == ["p", "p"]
    assert bench.cache.get(POD, "p") is not None
    assert not any(deleted for _, _, deleted in bench.mirror.offers)


@with_bench
async def test_class_wakes_everything_made_from_it(bench: Bench) -> None:
    bench.intake.event(BOX, "ADDED", box())
    bench.intake.event(RUN, "ADDED", run_of_box("e1"))
    one_shot = stored(make_execution(name="s", sandboxRef=None, className="python"), uid="e2")
    bench.intake.event(RUN, "ADDED", one_shot)
    await bench.woken()
    bench.intake.event(Kind.SANDBOX_CLASS, "MODIFIED", stored(make_sandbox_class(), uid="c"))
    assert await bench.woken() == {(BOX, "b"), (RUN, "e2")}
    assert all(kind is not Kind.SANDBOX_CLASS for kind, _, _ in bench.mirror.offers)


@with_bench
async def test_status_of_a_class_wakes_nothing_made_from_it(bench: Bench) -> None:
    """It counts Sandboxes, so it changes with each of them."""

    def of_class(version: int, generation: int) -> dict[str, Any]:
        numbers = {"resourceVersion": str(version), "generation": generation}
        return stored(make_sandbox_class(), uid="c", **numbers)

    bench.intake.event(Kind.SANDBOX_CLASS, "ADDED", of_class(10, 1))
    bench.intake.event(BOX, "ADDED", box())
    await bench.woken()
    bench.intake.event(Kind.SANDBOX_CLASS, "MODIFIED", of_class(11, 1))
    assert (BOX, "b") not in await bench.woken()
    bench.intake.event(Kind.SANDBOX_CLASS, "MODIFIED", of_class(12, 2))
    assert (BOX, "b") in await bench.woken()
    bench.intake.event(Kind.SANDBOX_CLASS, "DELETED", of_class(13, 2))
    assert (BOX, "b") in await bench.woken()


@with_bench
async def test_execution_that_went_while_its_code_ran_is_seen_off_once(bench: Bench) -> None:
    """A write that finds it gone tells it, and then the watch does."""
    seen_off: list[str] = []
    bench.followers.execution.on_unfinished = lambda manifest: seen_off.append(
        manifest["metadata"]["uid"]
    )
    bench.intake.event(BOX, "ADDED", box())
    running = run_of_box("e1", dispatched=True)
    bench.intake.event(RUN, "ADDED", running)
    bench.intake.gone(RUN, running)
    bench.intake.event(RUN, "DELETED", running)
    assert seen_off == ["e1"]
    assert (RUN, "e1", True) not in bench.mirror.offers, "its end is told once it is known"


@with_bench
async def test_namespace_is_kept_and_wakes_nobody(bench: Bench) -> None:
    manifest = stored({"metadata": {"name": "team-a"}}, uid="n")
    bench.intake.event(Kind.NAMESPACE, "ADDED", manifest)
    assert bench.cache.by_name(Kind.NAMESPACE, "", "team-a") == manifest
    assert await bench.woken() == set()
    assert bench.mirror.offers == []
    bench.intake.event(Kind.NAMESPACE, "DELETED", manifest)
    assert bench.cache.by_name(Kind.NAMESPACE, "", "team-a") is None


@with_bench
async def test_stale_event_wakes_nobody(bench: Bench) -> None:
    bench.intake.event(BOX, "MODIFIED", box(resourceVersion="9"))
    await bench.woken()
    bench.intake.event(BOX, "MODIFIED", box(resourceVersion="8"))
    assert await bench.woken() == set()
    assert len(bench.mirror.offers) == 1


@with_bench
async def test_first_lists_are_queued_once_the_cache_is_complete(bench: Bench) -> None:
    bench.cache.put(BOX, box())
    bench.intake.queue_listed(BOX, box())
    bench.intake.queue_listed(POD, pod_of("Execution", "e1"))
    bench.intake.queue_listed(RUN, run_of_box("e2"))
    assert await bench.woken() == {(BOX, "b"), (RUN, "e1"), (RUN, "e2")}
    assert len(bench.mirror.offers) == 3


# F14: one bad object stops nothing else.
MALFORMED: dict[str, dict[str, Any]] = {
    "nothing but metadata": {"spec": None, "status": None},
    "spec of the wrong shape inside": {"spec": {"sandboxRef": None}},
    "absurd annotations": {"metadata": {"annotations": None, "labels": None}},
}


@pytest.mark.parametrize("kind", [BOX, RUN, POD, Kind.SANDBOX_CLASS, Kind.NAMESPACE])
@pytest.mark.parametrize("name", MALFORMED)
@virtual_time
async def test_malformed_object_comes_and_goes_without_an_error(kind: Kind, name: str) -> None:
    bench = Bench()
    manifest = stored(make_sandbox(), uid="u")
    changes = MALFORMED[name]
    manifest["metadata"] |= changes.get("metadata", {})
    manifest |= {key: value for key, value in changes.items() if key != "metadata"}
    for event_type in (None, "ADDED", "MODIFIED"):
        bench.intake.event(kind, event_type, manifest)
    bench.intake.event(kind, "DELETED", deleting(manifest))
    assert bench.cache.get(kind, "u") is None


@with_bench
async def test_watch_events_are_counted_and_timed(bench: Bench) -> None:
    bench.intake.event(BOX, None, box())
    bench.intake.event(BOX, "MODIFIED", box())
    text = bench.metrics.render().decode()
    assert 'soulbox_watch_events_total{kind="Sandbox"} 2.0' in text
    assert set(bench.intake.last_event) == {BOX}
    ages = bench.intake.watch_ages()
    assert set(ages) == set(Kind)
    assert 0 <= ages[BOX] <= ages[POD]  # of a pod nothing was heard since the start


def test_kopf_only_watches_and_writes_nothing() -> None:
    settings = build_settings()
    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert settings.scanning.disabled is True
    storage: Any = settings.persistence.progress_storage
    assert storage is settings.persistence.diffbase_storage
    assert storage.fetch() is None
    for write in (storage.store, storage.purge, storage.touch):
        assert write() is None
    assert storage.clear(essence={"a": 1}) == {"a": 1}


async def test_registry_has_one_stateless_handler_for_each_kind(tmp_path: Any) -> None:
    bench = Bench()
    credentials = Credentials(write_kubeconfig(tmp_path, "http://127.0.0.1:1", token="t"))
    ended = []

    async def end_work() -> None:
        ended.append(True)

    waited: list[str | None] = []

    async def before_event(namespace: str | None) -> None:
        waited.append(namespace)
        assert bench.cache.get(BOX, "u") is None or len(waited) > 1, "nobody was told yet"

    bench.intake.before_event = before_event
    registry = build_registry(bench.intake, credentials, end_work)
    handlers = registry._watching.get_all_handlers()
    watched = [handler.selector.plural or handler.selector.any_name for handler in handlers]
    assert sorted(watched) == sorted(info.plural for info in WATCHED)
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
    for handler in handlers:
        told = stored({**make_sandbox(), "kind": "K", "apiVersion": "v"}, uid="u")
        told["metadata"]["managedFields"] = [{"manager": "m"}]
        seen = copy.deepcopy(told)
        await handler.fn(event={"type": "ADDED", "object": told})
        # Kopf reads no more of it, and keeps it for a while.
        assert told.keys() == {"kind", "apiVersion", "metadata"}
        assert "managedFields" not in told["metadata"]
    assert set(bench.intake.last_event) == set(Kind)
    assert waited == ["default"] * len(Kind)
    kept = bench.cache.get(BOX, "u")
    assert kept is not None
    assert (kept["spec"], kept["metadata"]["name"]) == (seen["spec"], seen["metadata"]["name"])

    activities = {one.activity.value: one for one in registry._activities.get_all_handlers()}
    assert set(activities) == {"authentication", "cleanup"}
    await activities["cleanup"].fn()
    assert ended == [True]
    session = activities["authentication"].fn()
    assert session.server == "http://127.0.0.1:1"
    assert session.aiohttp_session is credentials.session()
    await credentials.close()
