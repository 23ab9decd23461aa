"""The terms of a run, from what its place says now: the only place where they are decided.

`observe` calls it for an Execution that was not dispatched yet. Once it was, its receipt says
them, whatever becomes of class and Sandbox.
"""

from dataclasses import replace

from soulbox.kinds.sandbox_class.decide.limits import (
    execution_limits,
    sandbox_limits,
    workspace_bytes,
)
from soulbox.model.specs import ClassMax, ExecutionSpec, SandboxClassSpec, SandboxSpec
from soulbox.model.terms import RunTerms
from soulbox.pure.pods.view import PodView


def decide_terms(
    spec: ExecutionSpec,
    of: SandboxClassSpec,
    class_name: str,
    *,
    sandbox: SandboxSpec | None = None,
    pod: PodView | None = None,
) -> RunTerms | None:
    """How to run it there; None where the class has no interpreter for its language.

    Args:
        of: its own class, or its Sandbox's, of that name.
        sandbox: None of a one-shot.
        pod: to run in. It has the limits it was made with, whatever is asked for by now; None
            where there is none yet.
    """
    language = spec.language or of.default_language
    interpreter = of.interpreters.get(language)
    if interpreter is None:
        return None
    default, limits = of.defaults.timeout_seconds, execution_limits(spec, of)
    if sandbox is not None:
        limits = replace(sandbox_limits(sandbox, of), disk_bytes=workspace_bytes(sandbox, of))
        if sandbox.default_timeout_seconds is not None:
            default = min(sandbox.default_timeout_seconds, of.max.timeout_seconds)
    if pod is not None:
        limits = replace(
            limits,
            cpu_millicores=pod.cpu_millicores or limits.cpu_millicores,
            memory_bytes=pod.memory_bytes or limits.memory_bytes,
        )
    kept = spec.output_limit_bytes
    return RunTerms(
        class_name=class_name,
        language=language,
        interpreter=interpreter,
        timeout_seconds=spec.timeout_seconds or default,
        output_limit_bytes=of.max.output_bytes if kept is None else kept,
        max_processes=of.max.pids,
        limits=limits,
    )


def within(terms: RunTerms, most: ClassMax) -> RunTerms:
    """The same, within a class's maxima of now: for a run of an earlier pass that its runner
    may not have been asked to start yet. A receipt is no way around a class."""
    return replace(
        terms,
        timeout_seconds=min(terms.timeout_seconds, most.timeout_seconds),
        output_limit_bytes=min(terms.output_limit_bytes, most.output_bytes),
        max_processes=min(terms.max_processes, most.pids),
    )
