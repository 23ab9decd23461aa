"""What a spec gets under its class, and where the class objects."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.kinds.execution.decide.terms import decide_terms
from soulbox.kinds.sandbox_class.decide.limits import (
    concurrency,
    execution_limits,
    lifetime_seconds,
    object_to_execution,
    object_to_sandbox,
    sandbox_limits,
)
from soulbox.model.specs import ExecutionSpec, Limits, Resources, SandboxSpec
from tests.support.seen import LIMITS, make_class_spec

CLASS = make_class_spec()
GIB = 2**30


def test_sandbox_that_asks_for_nothing_gets_the_defaults() -> None:
    assert sandbox_limits(SandboxSpec(), CLASS) == LIMITS


def test_sandbox_gets_what_it_asks_for_and_the_defaults_for_the_rest() -> None:
    spec = SandboxSpec(resources=Resources(cpu_millicores=500, disk_bytes=2 * GIB))
    assert sandbox_limits(spec, CLASS) == Limits(
        cpu_millicores=500, memory_bytes=LIMITS.memory_bytes, disk_bytes=2 * GIB
    )


def test_execution_gets_what_it_asks_for_its_own_pod_and_the_defaults_for_the_rest() -> None:
    spec = ExecutionSpec(class_name="python", resources=Resources(memory_bytes=GIB // 2))
    assert execution_limits(spec, CLASS) == Limits(
        cpu_millicores=LIMITS.cpu_millicores, memory_bytes=GIB // 2, disk_bytes=LIMITS.disk_bytes
    )
    assert object_to_execution(spec, CLASS, "python") == ""
    over = ExecutionSpec(class_name="python", resources=Resources(memory_bytes=GIB))
    assert object_to_execution(over, CLASS, "python").startswith(
        'spec.resources.memory: 1Gi is over the 512Mi that SandboxClass "python" allows'
    )


def test_lifetime_is_the_sandbox_s_else_the_class_s_maximum() -> None:
    assert lifetime_seconds(SandboxSpec(lifetime_seconds=60), CLASS) == 60
    assert lifetime_seconds(SandboxSpec(), CLASS) == 86_400


def test_what_was_raised_over_the_class_is_not_in_force() -> None:
    spec = SandboxSpec(
        lifetime_seconds=100_000, default_timeout_seconds=9_000, max_concurrent_executions=9
    )
    assert lifetime_seconds(spec, CLASS) == CLASS.max.lifetime_seconds
    assert concurrency(spec, CLASS) == CLASS.max.concurrency
    terms = decide_terms(ExecutionSpec(sandbox_name="box"), CLASS, "python", sandbox=spec)
    assert terms is not None
    assert terms.timeout_seconds == CLASS.max.timeout_seconds


SANDBOX_OBJECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "cpu at the maximum": ({"resources": Resources(cpu_millicores=500)}, ""),
    "cpu over it": (
        {"resources": Resources(cpu_millicores=501)},
        'spec.resources.cpu: 501m is over the 500m that SandboxClass "python" allows',
    ),
    "memory at the maximum": ({"resources": Resources(memory_bytes=GIB // 2)}, ""),
    "memory over it": (
        {"resources": Resources(memory_bytes=GIB // 2 + 1)},
        "spec.resources.memory: 536870913 is over the 512Mi",
    ),
    "disk at the maximum": ({"resources": Resources(disk_bytes=2 * GIB)}, ""),
    "disk over it": (
        {"resources": Resources(disk_bytes=2 * GIB + 1)},
        "spec.resources.disk: 2147483649 is over the 2Gi",
    ),
    "lifetime at the maximum": ({"lifetime_seconds": 86_400}, ""),
    "lifetime over it": ({"lifetime_seconds": 86_401}, "spec.lifetimeSeconds: 86401 s"),
    "time-out at the maximum": ({"default_timeout_seconds": 3600}, ""),
    "time-out over it": (
        {"default_timeout_seconds": 3601},
        "spec.defaultTimeoutSeconds: 3601 s is over the 3600 s",
    ),
    "concurrency at the maximum": ({"max_concurrent_executions": 4}, ""),
    "concurrency over it": (
        {"max_concurrent_executions": 5},
        "spec.maxConcurrentExecutions: 5 is over the 4 that",
    ),
    "two at once: the first is named": (
        {"resources": Resources(cpu_millicores=501), "lifetime_seconds": 86_401},
        "spec.resources.cpu",
    ),
}


@pytest.mark.parametrize("name", SANDBOX_OBJECTIONS)
def test_class_objects_to_sandbox(name: str) -> None:
    fields, want_objection = SANDBOX_OBJECTIONS[name]
    found = object_to_sandbox(SandboxSpec(**fields), CLASS, "python")
    assert found.startswith(want_objection)
    assert bool(found) is bool(want_objection)


EXECUTION_OBJECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing asked": ({}, ""),
    "a language it has": ({"language": "bash"}, ""),
    "a language it does not have": (
        {"language": "perl"},
        'spec.language: SandboxClass "python" has no interpreter for "perl"; it has: bash, python.',
    ),
    "time-out at the maximum": ({"timeout_seconds": 3600}, ""),
    "time-out over it": (
        {"timeout_seconds": 3601},
        "spec.timeoutSeconds: 3601 s is over the 3600 s",
    ),
}


@pytest.mark.parametrize("name", EXECUTION_OBJECTIONS)
def test_class_objects_to_execution(name: str) -> None:
    fields, want_objection = EXECUTION_OBJECTIONS[name]
    found = object_to_execution(ExecutionSpec(code="1", **fields), CLASS, "python")
    assert found.startswith(want_objection)
    assert bool(found) is bool(want_objection)
