"""Parsed specs are remembered, and never beyond a change."""

from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec, SandboxSpec
from soulbox.reconcile.specs import SpecMemory
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class


def with_uid(manifest: dict, uid: str) -> dict:  # type: ignore[type-arg]
    """As the API server stores it."""
    return {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}


def test_equal_spec_is_parsed_once() -> None:
    specs = SpecMemory()
    first = specs.sandbox(with_uid(make_sandbox("box"), "u"))
    assert isinstance(first, SandboxSpec)
    assert specs.sandbox(with_uid(make_sandbox("box"), "u")) is first


def test_changed_spec_is_parsed_anew() -> None:
    specs = SpecMemory()
    specs.sandbox(with_uid(make_sandbox("box"), "u"))
    changed = specs.sandbox(with_uid(make_sandbox("box", lifetimeSeconds=77), "u"))
    assert isinstance(changed, SandboxSpec)
    assert changed.lifetime_seconds == 77


def test_what_is_wrong_is_told_each_time() -> None:
    specs = SpecMemory()
    broken = with_uid({**make_sandbox_class(), "spec": {"image": 7}}, "c")
    assert isinstance(specs.sandbox_class(broken), InvalidManifest)
    assert isinstance(specs.sandbox_class(broken), InvalidManifest)


def test_large_program_is_not_kept() -> None:
    specs = SpecMemory()
    small = with_uid(make_execution("run"), "small")
    large = with_uid(make_execution("run", code="#" * 5000), "large")
    assert specs.execution(small) is specs.execution(small)
    assert isinstance(specs.execution(large), ExecutionSpec)
    assert specs.execution(large) is not specs.execution(large)


def test_forgets_the_least_recently_asked_for() -> None:
    specs = SpecMemory()
    first = with_uid(make_execution("run"), "first")
    kept = specs.execution(first)
    for number in range(200):
        specs.execution(with_uid(make_execution("run"), str(number)))
    assert specs.execution(first) is not kept
