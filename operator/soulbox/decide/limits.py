"""What a spec gets under its class, and where it asks for what the class does not allow.

A class is another object, so neither schema nor CEL can say this at apply.
"""

from dataclasses import dataclass

from soulbox.model.specs import (
    ExecutionSpec,
    Interpreter,
    Limits,
    SandboxClassSpec,
    SandboxSpec,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """Under what terms a run is started."""

    interpreter: Interpreter
    language: str
    timeout_seconds: int
    output_limit_bytes: int  # kept of each stream, and of all captured files


def sandbox_limits(spec: SandboxSpec, of: SandboxClassSpec) -> Limits:
    """A Sandbox's limits: what it asks for, else the class's defaults."""
    asked, default = spec.resources, of.defaults.limits
    return Limits(
        cpu_millicores=asked.cpu_millicores or default.cpu_millicores,
        memory_bytes=asked.memory_bytes or default.memory_bytes,
        disk_bytes=asked.disk_bytes or default.disk_bytes,
    )


def workspace_bytes(spec: SandboxSpec, of: SandboxClassSpec) -> int:
    """Size of a Sandbox's workspace."""
    asked = spec.workspace.size_bytes if spec.workspace is not None else None
    return asked or sandbox_limits(spec, of).disk_bytes


def lifetime_seconds(spec: SandboxSpec, of: SandboxClassSpec) -> int:
    """How long a Sandbox may run, from its first start."""
    return spec.lifetime_seconds or of.max.lifetime_seconds


def object_to_sandbox(spec: SandboxSpec, of: SandboxClassSpec, class_name: str) -> str:
    """The first objection to a Sandbox of that class, "" when there is none."""
    limits, most = sandbox_limits(spec, of), of.max.limits
    checks: tuple[tuple[str, int, int, str], ...] = (
        ("spec.resources.cpu", limits.cpu_millicores, most.cpu_millicores, "m"),
        ("spec.resources.memory", limits.memory_bytes, most.memory_bytes, " bytes"),
        ("spec.resources.disk", limits.disk_bytes, most.disk_bytes, " bytes"),
        ("spec.lifetimeSeconds", spec.lifetime_seconds or 0, of.max.lifetime_seconds, " s"),
        (
            "spec.defaultTimeoutSeconds",
            spec.default_timeout_seconds or 0,
            of.max.timeout_seconds,
            " s",
        ),
        ("spec.maxConcurrentExecutions", spec.max_concurrent_executions, of.max.concurrency, ""),
    )
    if spec.workspace is not None:
        size = workspace_bytes(spec, of)
        checks = (*checks, ("spec.workspace.size", size, most.disk_bytes, " bytes"))
    if of.profile(spec.network) is None:
        known = ", ".join(sorted({"none", *(one.name for one in of.network_profiles)}))
        return (
            f'spec.network: SandboxClass "{class_name}" has no network profile '
            f'"{spec.network}"; it has: {known}.'
        )
    for field, asked, allowed, unit in checks:
        if asked > allowed:
            return (
                f"{field}: {asked}{unit} is over the {allowed}{unit} that SandboxClass "
                f'"{class_name}" allows; ask for less in a new Sandbox, or use another class.'
            )
    return ""


def object_to_execution(spec: ExecutionSpec, of: SandboxClassSpec, class_name: str) -> str:
    """The first objection to an Execution under that class, "" when there is none."""
    language = spec.language or of.default_language
    if language not in of.interpreters:
        known = ", ".join(sorted(of.interpreters))
        return (
            f'spec.language: SandboxClass "{class_name}" has no interpreter for "{language}"; '
            f"it has: {known}."
        )
    if (spec.timeout_seconds or 0) > of.max.timeout_seconds:
        return (
            f"spec.timeoutSeconds: {spec.timeout_seconds} s is over the {of.max.timeout_seconds} s "
            f'that SandboxClass "{class_name}" allows; ask for less, or use another class.'
        )
    if (spec.output_limit_bytes or 0) > of.max.output_bytes:
        return (
            f"spec.outputLimitBytes: {spec.output_limit_bytes} bytes are over the "
            f'{of.max.output_bytes} bytes that SandboxClass "{class_name}" allows; ask for less, '
            "or use another class."
        )
    return ""


def run_terms(spec: ExecutionSpec, of: SandboxClassSpec, sandbox: SandboxSpec | None) -> RunTerms:
    """How to run a spec to which there is no objection."""
    language = spec.language or of.default_language
    default = of.defaults.timeout_seconds
    if sandbox is not None and sandbox.default_timeout_seconds is not None:
        default = sandbox.default_timeout_seconds
    return RunTerms(
        interpreter=of.interpreters[language],
        language=language,
        timeout_seconds=spec.timeout_seconds or default,
        output_limit_bytes=of.max.output_bytes
        if spec.output_limit_bytes is None
        else spec.output_limit_bytes,
    )
