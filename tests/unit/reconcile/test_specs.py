"""Parsed specs are remembered, and never beyond a change."""

from soulbox.kinds.execution.specs import execution_spec
from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.kinds.sandbox_class.spec import parse_sandbox_class
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec, SandboxSpec
from soulbox.pure.pods.view import view_pod
from soulbox.reconcile.specs import SpecMemory
from soulbox.reconcile.views import PodViews
from tests.support.builders import EPOCH, make_execution, make_sandbox, make_sandbox_class


def with_uid(manifest: dict, uid: str) -> dict:  # type: ignore[type-arg]
    """As the API server stores it."""
    return {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}


def test_equal_spec_is_parsed_once() -> None:
    specs = SpecMemory()
    first = specs.of(with_uid(make_sandbox("box"), "u"), parse_sandbox)
    assert isinstance(first, SandboxSpec)
    assert specs.of(with_uid(make_sandbox("box"), "u"), parse_sandbox) is first


def test_changed_spec_is_parsed_anew() -> None:
    specs = SpecMemory()
    specs.of(with_uid(make_sandbox("box"), "u"), parse_sandbox)
    changed = specs.of(with_uid(make_sandbox("box", lifetimeSeconds=77), "u"), parse_sandbox)
    assert isinstance(changed, SandboxSpec)
    assert changed.lifetime_seconds == 77


def test_what_is_wrong_is_told_each_time() -> None:
    specs = SpecMemory()
    broken = with_uid({**make_sandbox_class(), "spec": {"image": 7}}, "c")
    assert isinstance(specs.of(broken, parse_sandbox_class), InvalidManifest)
    assert isinstance(specs.of(broken, parse_sandbox_class), InvalidManifest)


def test_large_program_or_input_is_not_kept() -> None:
    specs = SpecMemory()
    call = {"functionRef": {"name": "resize"}, "sandboxRef": None, "code": None}
    given = with_uid(make_execution("run", **call, input={"n": 1}), "given")
    assert execution_spec(specs, given) is execution_spec(specs, given)
    much = with_uid(make_execution("run", **call, input=["x" * 5000]), "much")
    assert execution_spec(specs, much) is not execution_spec(specs, much)
    small = with_uid(make_execution("run"), "small")
    large = with_uid(make_execution("run", code="#" * 5000), "large")
    assert execution_spec(specs, small) is execution_spec(specs, small)
    assert isinstance(execution_spec(specs, large), ExecutionSpec)
    assert execution_spec(specs, large) is not execution_spec(specs, large)


def test_input_that_cannot_be_written_is_refused() -> None:
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    for value in (deep, 2**64, "\ud800"):
        given = with_uid(make_execution("run", input=value), "given")
        assert isinstance(execution_spec(SpecMemory(), given), InvalidManifest)


def test_forgets_the_least_recently_asked_for() -> None:
    specs = SpecMemory(kept=128)
    first = with_uid(make_execution("run"), "first")
    kept = execution_spec(specs, first)
    for number in range(200):
        execution_spec(specs, with_uid(make_execution("run"), str(number)))
    assert execution_spec(specs, first) is not kept


def test_pod_is_viewed_once_in_each_version() -> None:
    views = PodViews(kept=2)
    pod = {"metadata": {"uid": "p", "name": "p", "namespace": "n", "creationTimestamp": EPOCH}}
    view = views.of(pod)
    assert views.of(pod) is view
    newer = {**pod, "status": {"phase": "Running"}}
    assert views.of(newer) == view_pod(newer)
    for number in range(2):
        views.of({"metadata": {**pod["metadata"], "uid": str(number)}})
    assert len(views._known) == 2
