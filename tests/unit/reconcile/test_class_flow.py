"""A SandboxClass tells how many Sandboxes it has; a class that says so costs no write."""

from __future__ import annotations

from soulbox.model.states import Kind
from soulbox.reconcile.classes import ClassReconciler
from tests.unit.reconcile.bench import Bench


async def test_status_counts_sandboxes_and_is_written_once(bench: Bench) -> None:
    await bench.running_sandbox()
    reconciler = ClassReconciler(bench.services)
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
