"""Parsed specs are remembered, and never beyond a change."""

from soulbox.kinds.execution.observe import execution_spec
from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.kinds.sandbox_class.spec import parse_sandbox_class
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec, SandboxSpec
from soulbox.reconcile.specs import SpecMemory
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class


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


def test_large_program_is_not_kept() -> None:
    specs = SpecMemory()
    small = with_uid(make_execution("run"), "small")
    large = with_uid(make_execution("run", code="#" * 5000), "large")
    assert execution_spec(specs, small) is execution_spec(specs, small)
    assert isinstance(execution_spec(specs, large), ExecutionSpec)
    assert execution_spec(specs, large) is not execution_spec(specs, large)


def test_forgets_the_least_recently_asked_for() -> None:
    specs = SpecMemory(kept=128)
    first = with_uid(make_execution("run"), "first")
    kept = execution_spec(specs, first)
    for number in range(200):
        execution_spec(specs, with_uid(make_execution("run"), str(number)))
    assert execution_spec(specs, first) is not kept
