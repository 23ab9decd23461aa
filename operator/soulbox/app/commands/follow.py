"""Following one object until it is what is waited for."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from soulbox.app.commands.person import Manifest, Person, is_over
from soulbox.kube.resources import EXECUTIONS, Resource
from soulbox.model.errors import CommandError, KubeNotFound, KubeRefused, KubeUnavailable

# An API server that restarts is back by then; a person can call again.
_PATIENCE_SECONDS = 120.0
_RETRY_SECONDS = 1.0


async def follow_execution(
    person: Person, execution: Manifest, on_change: Callable[[Manifest], None]
) -> Manifest:
    """Its last version, once it is over. Raises as `follow`."""
    return await follow(person, EXECUTIONS, execution, is_over, on_change)


async def follow(
    person: Person,
    resource: Resource,
    manifest: Manifest,
    is_done: Callable[[Manifest], bool],
    on_change: Callable[[Manifest], None] = lambda _: None,
) -> Manifest:
    """The first version of an object that is done; by a watch, by looking again where that is
    refused.

    Raises:
        CommandError: it was deleted, or the API server was away for two minutes.
    """
    following = _Following(person, resource, is_done, on_change)
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while True:
        try:
            manifest = await following.watch(manifest)
            if is_done(manifest):
                return manifest
            # A watch ends after minutes; one that ends at once must not make us spin.
            await asyncio.sleep(_RETRY_SECONDS)
            manifest, heard = await following.look(manifest), loop.time()
        except KubeUnavailable as error:
            if loop.time() - heard > _PATIENCE_SECONDS:
                name, verb = manifest["metadata"]["name"], "get"
                if resource is EXECUTIONS:
                    verb = "logs -f"
                raise CommandError(
                    f"lost the connection to the API server: {error}. The {resource.kind}"
                    f" continues; see it with `soulbox {verb} {name} -n {person.namespace}`"
                ) from error
            await asyncio.sleep(_RETRY_SECONDS)
            # A watch that begins too far back is refused for ever: begin at what is now.
            with suppress(KubeUnavailable):
                manifest = await following.look(manifest)


@dataclass(frozen=True, slots=True)
class _Following:
    person: Person
    resource: Resource
    is_done: Callable[[Manifest], bool]
    on_change: Callable[[Manifest], None]

    async def watch(self, manifest: Manifest) -> Manifest:
        """The newest version when it is done, or the watch is."""
        metadata = manifest["metadata"]
        self.on_change(manifest)
        if self.is_done(manifest):
            return manifest
        try:
            async for newer in self.person.kube.watch(
                self.resource, metadata["name"], self.person.namespace, metadata["resourceVersion"]
            ):
                if newer.get("metadata", {}).get("uid") != metadata["uid"]:
                    continue
                manifest = newer
                self.on_change(manifest)
                if self.is_done(manifest):
                    break
        except KubeRefused as error:
            if error.status != 403:  # without the right to watch, poll instead
                raise
            await asyncio.sleep(_RETRY_SECONDS)
        return manifest

    async def look(self, manifest: Manifest) -> Manifest:
        """The object as it is now."""
        metadata, kind = manifest["metadata"], self.resource.kind
        gone = CommandError(f"{kind} {metadata['name']} was deleted before its end was seen")
        try:
            found = await self.person.kube.get(
                self.resource, metadata["name"], self.person.namespace
            )
        except KubeNotFound as error:
            raise gone from error
        if found["metadata"]["uid"] != metadata["uid"]:
            raise gone
        return found
