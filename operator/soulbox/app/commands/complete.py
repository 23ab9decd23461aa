"""Completions: names from the cluster, quickly or not at all."""

import os
import shlex
from collections.abc import Awaitable, Callable
from typing import Any

import typer

from soulbox.model.kinds import EXECUTION, FUNCTION, NAMESPACE, SANDBOX, SANDBOX_CLASS, KindInfo

# A person at the keyboard is waiting; the value is a guess.
_SECONDS = 3.0


def complete_namespaces(context: typer.Context, incomplete: str) -> list[str]:
    """Names of namespaces."""
    return _names(context, NAMESPACE, incomplete)


def complete_executions(context: typer.Context, incomplete: str) -> list[str]:
    """Names of Executions in the namespace."""
    return _names(context, EXECUTION, incomplete)


def complete_sandboxes(context: typer.Context, incomplete: str) -> list[str]:
    """Names of Sandboxes in the namespace."""
    return _names(context, SANDBOX, incomplete)


def complete_objects(context: typer.Context, incomplete: str) -> list[str]:
    """Names of Executions and Sandboxes."""
    return [
        *_names(context, EXECUTION, incomplete),
        *_names(context, SANDBOX, incomplete),
    ]


def complete_classes(context: typer.Context, incomplete: str) -> list[str]:
    """Names of SandboxClasses."""
    return _names(context, SANDBOX_CLASS, incomplete)


def complete_functions(context: typer.Context, incomplete: str) -> list[str]:
    """Names of Functions in the namespace; of one that is named whole its versions too. Not only
    after the @: there bash begins another word, which is completed no more."""
    named = incomplete.partition("@")[0]

    def words_of(found: list[dict[str, Any]]) -> list[str]:
        words = []
        for manifest in found:
            name = manifest["metadata"]["name"]
            words.append(name)
            if name == named:
                versions = (manifest.get("status") or {}).get("versions") or ()
                words += [f"{name}@{one['version']}" for one in versions]
        return words

    return _words(context, FUNCTION, incomplete, words_of)


def complete_contexts(incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    from kubernetes import config  # noqa: PLC0415

    try:
        contexts, _ = config.list_kube_config_contexts()
    except Exception:  # a completion never shows an error
        return []
    return [str(c["name"]) for c in contexts if str(c["name"]).startswith(incomplete)]


def complete_reports(incomplete: str) -> list[tuple[str, str]]:
    """Reports of the database, each with its purpose."""
    from soulbox.store.reports import REPORTS  # noqa: PLC0415

    return [
        (name, report.purpose) for name, report in REPORTS.items() if name.startswith(incomplete)
    ]


def complete_params(incomplete: str) -> list[str]:
    """Parameters of the report that is named, those that are not given yet."""
    from soulbox.store.reports import REPORTS  # noqa: PLC0415

    words = _typed()
    report = next((REPORTS[word] for word in words if word in REPORTS), None)
    if report is None:
        return []
    given = {word.partition("=")[0] for word in words if "=" in word and word != incomplete}
    free = (f"{name}=" for name in report.params if name not in given)
    return [word for word in free if word.startswith(incomplete)]


def _typed() -> list[str]:
    """The words so far. Not from the context: with an option whose value is being completed the
    parser gives up before it knows the arguments."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or ""
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is still open
        return line.split()


def _names(context: typer.Context, info: KindInfo, incomplete: str) -> list[str]:
    return _words(
        context, info, incomplete, lambda found: [item["metadata"]["name"] for item in found]
    )


def _words(
    context: typer.Context,
    info: KindInfo,
    incomplete: str,
    words_of: Callable[[list[dict[str, Any]]], list[str]],
) -> list[str]:
    import asyncio  # noqa: PLC0415

    from soulbox.app.commands.person import open_person  # noqa: PLC0415
    from soulbox.app.commands.target import Target  # noqa: PLC0415
    from soulbox.kube.resources import resource_of  # noqa: PLC0415

    async def ask() -> list[str]:
        target = Target(
            namespace=context.params.get("namespace"),
            context=context.params.get("context"),
            kubeconfig=context.params.get("kubeconfig"),
            as_user=context.params.get("as_user"),
            as_groups=tuple(context.params.get("as_groups") or ()),
        )
        async with open_person(target) as person:
            scope = person.namespace if info.namespaced else None
            found = await person.kube.list(resource_of(info), scope)
            return words_of(found)

    async def in_time(found: Callable[[], Awaitable[list[str]]]) -> list[str]:
        async with asyncio.timeout(_SECONDS):
            return await found()

    try:
        words = asyncio.run(in_time(ask))
    except Exception:  # a completion never shows an error
        return []
    return [word for word in words if word.startswith(incomplete)]
