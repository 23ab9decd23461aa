"""A SandboxClass tells how many Sandboxes it has; a class that says so costs no write."""

from __future__ import annotations

from soulbox.kinds.sandbox_class.reconcile import ClassReconciler
from soulbox.model.states import Kind
from tests.support.reconciling import Bench


async def test_status_counts_sandboxes_and_is_written_once(bench: Bench) -> None:
    await bench.running_sandbox()
    reconciler = ClassReconciler(bench.services, bench.cache.users_of_class)
    (uid,) = [one["metadata"]["uid"] for one in bench.cache.all(Kind.SANDBOX_CLASS)]
    bench.api.take_writes()
    assert await reconciler.reconcile(uid) is None
    assert bench.api.take_writes() == [("patch", "sandboxclasses/status")]
    stored = bench.cache.get(Kind.SANDBOX_CLASS, uid)
    assert stored is not None
    assert (stored["status"]["reason"], stored["status"]["sandboxes"]) == ("Ready", 1)
    await reconciler.reconcile(uid)
    assert bench.api.take_writes() == [], "it says so already"
    assert await reconciler.reconcile("unknown") is None


async def test_operators_of_some_namespaces_do_not_write_against_each_other(bench: Bench) -> None:
    """Each sees other Sandboxes: a count would be the other's to correct, for ever."""
    await bench.running_sandbox()
    (uid,) = [one["metadata"]["uid"] for one in bench.cache.all(Kind.SANDBOX_CLASS)]
    await ClassReconciler(bench.services, bench.cache.users_of_class).reconcile(uid)
    bench.api.take_writes()
    one, two = (ClassReconciler(bench.services, None) for _ in range(2))
    await one.reconcile(uid)
    assert bench.api.take_writes() == [("patch", "sandboxclasses/status")], "the count goes"
    stored = bench.cache.get(Kind.SANDBOX_CLASS, uid)
    assert stored is not None
    assert stored["status"]["reason"] == "Ready"
    assert stored["status"].get("sandboxes") is None
    for reconciler in (two, one):
        await reconciler.reconcile(uid)
    assert bench.api.take_writes() == []
