"""Following one Execution to its end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from soulbox.app.commands.person import Manifest, Person, is_over
from soulbox.kube.resources import EXECUTIONS
from soulbox.model.errors import CommandError, KubeNotFound, KubeRefused, KubeUnavailable

# An API server that restarts is back by then; a person can call again.
_PATIENCE_SECONDS = 120.0
_RETRY_SECONDS = 1.0


async def follow_execution(
    person: Person, execution: Manifest, on_change: Callable[[Manifest], None]
) -> Manifest:
    """Its last version, once it is over; by a watch, by looking again where that is refused.

    Raises:
        CommandError: it was deleted, or the API server was away for two minutes.
    """
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while True:
        try:
            execution = await _watch(person, execution, on_change)
            if is_over(execution):
                return execution
            # A watch ends after minutes; one that ends at once must not make us spin.
            await asyncio.sleep(_RETRY_SECONDS)
            execution, heard = await _look(person, execution), loop.time()
        except KubeUnavailable as error:
            if loop.time() - heard > _PATIENCE_SECONDS:
                name = execution["metadata"]["name"]
                raise CommandError(
                    f"lost the API server: {error}. The Execution goes on; see it with "
                    f"`soulbox logs -f {name} -n {person.namespace}`"
                ) from error
            await asyncio.sleep(_RETRY_SECONDS)
            # A watch that begins too far back is refused for ever: begin at what is now.
            with suppress(KubeUnavailable):
                execution = await _look(person, execution)


async def _watch(
    person: Person, execution: Manifest, on_change: Callable[[Manifest], None]
) -> Manifest:
    """The newest version when it is over, or the watch is."""
    metadata = execution["metadata"]
    on_change(execution)
    if is_over(execution):
        return execution
    try:
        async for newer in person.kube.watch(
            EXECUTIONS, metadata["name"], person.namespace, metadata["resourceVersion"]
        ):
            if newer.get("metadata", {}).get("uid") != metadata["uid"]:
                continue
            execution = newer
            on_change(execution)
            if is_over(execution):
                break
    except KubeRefused as error:
        if error.status != 403:  # who may get but not watch looks again and again
            raise
        await asyncio.sleep(_RETRY_SECONDS)
    return execution


async def _look(person: Person, execution: Manifest) -> Manifest:
    metadata = execution["metadata"]
    try:
        found = await person.kube.get(EXECUTIONS, metadata["name"], person.namespace)
    except KubeNotFound as error:
        raise _deleted(metadata["name"]) from error
    if found["metadata"]["uid"] != metadata["uid"]:
        raise _deleted(metadata["name"])
    return found


def _deleted(name: str) -> CommandError:
    return CommandError(f"Execution {name} was deleted before its end was seen")
