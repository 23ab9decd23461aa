"""What a spec gets under its class, and where it asks for what the class does not allow.

A class is another object, so neither schema nor CEL can say this at apply.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from soulbox.model.functions import FunctionSpec
from soulbox.model.handlers import handler_language
from soulbox.model.quantity import format_bytes, format_millicores
from soulbox.model.specs import (
    ExecutionSpec,
    Limits,
    Resources,
    SandboxClassSpec,
    SandboxSpec,
)


def sandbox_limits(spec: SandboxSpec, of: SandboxClassSpec) -> Limits:
    """A Sandbox's limits: what it asks for, else the class's defaults."""
    return _limits(spec.resources, of)


def execution_limits(spec: ExecutionSpec, of: SandboxClassSpec) -> Limits:
    """What the pod of a one-shot gets: what it asks for, else the class's defaults."""
    return _limits(spec.resources, of)


def _limits(asked: Resources, of: SandboxClassSpec) -> Limits:
    default = of.defaults.limits
    return Limits(
        cpu_millicores=asked.cpu_millicores or default.cpu_millicores,
        memory_bytes=asked.memory_bytes or default.memory_bytes,
        disk_bytes=asked.disk_bytes or default.disk_bytes,
    )


def limit_texts(limits: Limits, pids: int | None) -> dict[str, Any]:
    """The limits of a pod as people write them, for a status; processes where they are known."""
    found: dict[str, Any] = {
        "cpu": format_millicores(limits.cpu_millicores),
        "memory": format_bytes(limits.memory_bytes),
        "disk": format_bytes(limits.disk_bytes),
    }
    return found if pids is None else found | {"pids": pids}


def workspace_bytes(spec: SandboxSpec, of: SandboxClassSpec) -> int:
    """Size of a Sandbox's workspace."""
    asked = spec.workspace.size_bytes if spec.workspace is not None else None
    return asked or sandbox_limits(spec, of).disk_bytes


def lifetime_seconds(spec: SandboxSpec, of: SandboxClassSpec) -> int:
    """How long a Sandbox may run, from its first start. A number that was raised over the
    class's maximum while it ran is not in force."""
    most = of.max.lifetime_seconds
    return min(spec.lifetime_seconds or most, most)


def concurrency(spec: SandboxSpec, of: SandboxClassSpec) -> int:
    """How many Executions may run in a Sandbox at once, under its class as it is now."""
    return min(spec.max_concurrent_executions, of.max.concurrency)


def object_to_sandbox(spec: SandboxSpec, of: SandboxClassSpec, class_name: str) -> str:
    """The first objection to a Sandbox of that class, "" when there is none."""
    objection = _to_network(spec.network, of, class_name)
    if objection:
        return objection
    most = of.max
    checks = [
        *_resource_checks(sandbox_limits(spec, of), of),
        _Check("spec.lifetimeSeconds", spec.lifetime_seconds, most.lifetime_seconds, _seconds),
        _Check(
            "spec.defaultTimeoutSeconds",
            spec.default_timeout_seconds,
            most.timeout_seconds,
            _seconds,
        ),
        _Check(
            "spec.maxConcurrentExecutions", spec.max_concurrent_executions, most.concurrency, str
        ),
    ]
    if spec.workspace is not None:
        size = workspace_bytes(spec, of)
        checks.append(_Check("spec.workspace.size", size, most.limits.disk_bytes, format_bytes))
    return _first_objection(checks, class_name)


class _Check(NamedTuple):
    field: str
    asked: int | None
    allowed: int
    write: Callable[[int], str]


def _seconds(seconds: int) -> str:
    return f"{seconds} s"


def _bytes(size_bytes: int) -> str:
    return f"{size_bytes} bytes"


def _resource_checks(limits: Limits, of: SandboxClassSpec) -> list[_Check]:
    most = of.max.limits
    return [
        _Check("spec.resources.cpu", limits.cpu_millicores, most.cpu_millicores, format_millicores),
        _Check("spec.resources.memory", limits.memory_bytes, most.memory_bytes, format_bytes),
        _Check("spec.resources.disk", limits.disk_bytes, most.disk_bytes, format_bytes),
    ]


def _first_objection(checks: Iterable[_Check], class_name: str) -> str:
    for check in checks:
        if (check.asked or 0) > check.allowed:
            return (
                f"{check.field}: {check.write(check.asked or 0)} is over the "
                f'{check.write(check.allowed)} that SandboxClass "{class_name}" allows; '
                "ask for less, or use another class."
            )
    return ""


def object_to_execution(spec: ExecutionSpec, of: SandboxClassSpec, class_name: str) -> str:
    """The first objection to an Execution under that class, "" when there is none."""
    objection = _to_interpreter(spec.language, spec.handler, of, class_name)
    if objection:
        return objection
    checks = [
        _Check("spec.timeoutSeconds", spec.timeout_seconds, of.max.timeout_seconds, _seconds),
        _Check("spec.outputLimitBytes", spec.output_limit_bytes, of.max.output_bytes, _bytes),
    ]
    if spec.sandbox_name is None:
        checks += _resource_checks(execution_limits(spec, of), of)
    return _first_objection(checks, class_name)


def object_to_function(spec: FunctionSpec, of: SandboxClassSpec, class_name: str) -> str:
    """The first objection to a Function of that class, "" when there is none."""
    objection = _to_interpreter(spec.language, spec.handler, of, class_name)
    objection = objection or _to_network(spec.network, of, class_name)
    if objection:
        return objection
    most = of.max
    checks = [
        _Check("spec.timeoutSeconds", spec.timeout_seconds, most.timeout_seconds, _seconds),
        _Check("spec.scale.concurrency", spec.scale.concurrency, most.concurrency, str),
        *_resource_checks(_limits(spec.resources, of), of),
    ]
    return _first_objection(checks, class_name)


def _to_interpreter(
    language: str | None, handler: str | None, of: SandboxClassSpec, class_name: str
) -> str:
    language = language or of.default_language
    if language not in of.interpreters:
        known = ", ".join(sorted(of.interpreters))
        return (
            f'spec.language: SandboxClass "{class_name}" has no interpreter for "{language}"; '
            f"it has: {known}."
        )
    interpreter = of.interpreters[language]
    if handler is not None and handler_language(interpreter) is None:
        return (
            f'spec.handler: handlers are called in Python and Node, and "{language}" of '
            f'SandboxClass "{class_name}" is {interpreter.command[0]}; leave handler out, and let'
            " the program read SOULBOX_INPUT and write SOULBOX_RESULT."
        )
    return ""


def _to_network(asked: str, of: SandboxClassSpec, class_name: str) -> str:
    if of.profile(asked) is not None:
        return ""
    known = ", ".join(sorted({"none", *(one.name for one in of.network_profiles)}))
    return (
        f'spec.network: SandboxClass "{class_name}" has no network profile '
        f'"{asked}"; it has: {known}.'
    )
