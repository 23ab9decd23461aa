"""What the commands that change Sandboxes do."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from soulbox.app.commands.durations import in_words
from soulbox.app.commands.follow import follow
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.person import Manifest, Person, status_of
from soulbox.app.commands.show import Progress, Report
from soulbox.app.commands.terminal import one_line, tell
from soulbox.kube.resources import SANDBOX_CLASSES, SANDBOXES, Resource
from soulbox.model.errors import CommandError, KubeNotFound, KubeRefused
from soulbox.model.keys import API_VERSION
from soulbox.model.times import parse_time

_LOOK_SECONDS: Final = 0.5
# After this long a person wants to know what it is waiting for.
_QUIET_SECONDS: Final = 5.0


def build_sandbox(
    name: str, spec: Mapping[str, Any], labels: Mapping[str, str] | None = None
) -> Manifest:
    """The Sandbox that is asked for; members that are None are left to the API."""
    metadata = {"name": name} | ({"labels": dict(labels)} if labels else {})
    return {
        "apiVersion": API_VERSION,
        "kind": "Sandbox",
        "metadata": metadata,
        "spec": {field: value for field, value in spec.items() if value is not None},
    }


async def create_sandbox(
    person: Person, manifest: Manifest, *, wait: bool, form: ObjectFormat
) -> None:
    """Create it.

    Raises:
        CommandError: it cannot become ready; it is there all the same.
    """
    with suppress(KubeRefused):  # no right to read classes, perhaps to use them
        await person.find(SANDBOX_CLASSES, manifest["spec"]["className"])
    name = manifest["metadata"]["name"]
    sandbox = await person.kube.create(SANDBOXES, manifest, person.namespace)
    if wait:
        with Progress(name, "Sandbox") as progress:
            sandbox = await follow(person, SANDBOXES, sandbox, _is_decided, progress.saw)
    report = Report(form)
    report.add(sandbox, f"sandbox {name} is {_state(sandbox)}")
    report.end()
    if wait and not _is_true(sandbox, "Ready"):
        message = one_line(str(status_of(sandbox).get("message", "")))
        raise CommandError(f"Sandbox {name} is not ready: {_state(sandbox)}: {message}")


def _is_decided(sandbox: Manifest) -> bool:
    """Ready, or it will not become so by itself."""
    return _is_true(sandbox, "Ready") or _is_true(sandbox, "Stalled")


def _is_true(sandbox: Manifest, condition: str) -> bool:
    metadata = sandbox["metadata"]
    return any(
        one.get("type") == condition
        and one.get("status") == "True"
        and one.get("observedGeneration", 0) >= metadata.get("generation", 0)
        for one in status_of(sandbox).get("conditions") or ()
    )


def _state(sandbox: Manifest) -> str:
    return str(status_of(sandbox).get("state", "Created"))


async def set_suspended(
    person: Person, names: Sequence[str], *, suspend: bool, form: ObjectFormat
) -> None:
    """Suspend or resume each; one that is so already stays as it is."""
    done, report = "suspended" if suspend else "resumed", Report(form)
    for name in names:
        sandbox = await _living(person, name)
        if bool(sandbox["spec"].get("suspend")) == suspend:
            report.add(
                sandbox,
                f"sandbox {name} is not suspended"
                if not suspend
                else f"sandbox {name} is already suspended",
            )
            continue
        body = {"spec": {"suspend": suspend}}
        sandbox = await person.kube.patch(SANDBOXES, name, body, person.namespace)
        report.add(sandbox, f"sandbox {name} is being {done}")
    report.end()


async def _living(person: Person, name: str) -> Manifest:
    sandbox = await person.find(SANDBOXES, name)
    if _state(sandbox) == "Terminated":
        raise CommandError(f"Sandbox {name} is Terminated, for good: create another")
    return sandbox


async def extend_lifetimes(
    person: Person, names: Sequence[str], seconds: int, *, form: ObjectFormat
) -> None:
    """Raise each Sandbox's lifetime, where it would end before so many seconds from now."""
    report = Report(form)
    for name in names:
        sandbox = await _living(person, name)
        wanted = lifetime_for(sandbox, seconds, person.clock.now())
        if wanted is None:
            report.add(sandbox, f"sandbox {name} already lives longer{_until(sandbox)}")
            continue
        body = {"spec": {"lifetimeSeconds": wanted}}
        sandbox = await person.kube.patch(SANDBOXES, name, body, person.namespace)
        report.add(sandbox, f"sandbox {name} now has a lifetime of {in_words(wanted)}")
    report.end()


def lifetime_for(sandbox: Manifest, seconds: int, now: datetime) -> int | None:
    """The lifetimeSeconds that lets it live so long from now; None when it does."""
    status = status_of(sandbox)
    started = parse_time(status.get("startTime")) or now
    expires = parse_time(status.get("expirationTime"))
    until = now + timedelta(seconds=seconds)
    if expires is not None and expires >= until:
        return None
    wanted = math.ceil((until - started).total_seconds())
    return wanted if wanted > sandbox["spec"].get("lifetimeSeconds", 0) else None


def _until(sandbox: Manifest) -> str:
    until = status_of(sandbox).get("expirationTime")
    return f": until {until}" if until else ""


async def delete_objects(person: Person, names: Sequence[str], *, wait: bool) -> None:
    """Delete each, and wait until all are gone.

    Raises:
        CommandError: there is none of a name, or a name means two; nothing was deleted then.
    """
    found = [await person.find_one(name) for name in names]
    for resource, manifest in found:
        metadata = manifest["metadata"]
        await person.kube.delete(resource, metadata["name"], person.namespace, uid=metadata["uid"])
        print(f"{resource.kind.lower()} {metadata['name']} is being deleted", flush=True)
    if wait:
        for resource, manifest in found:
            await _until_gone(person, resource, manifest)


async def _until_gone(person: Person, resource: Resource, manifest: Manifest) -> None:
    metadata, loop = manifest["metadata"], asyncio.get_running_loop()
    said_at = loop.time() + _QUIET_SECONDS
    while True:
        try:
            found = await person.kube.get(resource, metadata["name"], person.namespace)
        except KubeNotFound:
            return
        if found["metadata"]["uid"] != metadata["uid"]:
            return
        if loop.time() > said_at:
            said_at = math.inf
            tell(
                f"waiting for {resource.kind} {metadata['name']}, which goes once its record is"
                " written; after Ctrl-C it is still deleted"
            )
        await asyncio.sleep(_LOOK_SECONDS)
