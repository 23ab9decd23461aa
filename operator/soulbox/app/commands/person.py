"""The person who calls a command: their rights, their namespace, and errors they can act on."""

import asyncio
import difflib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from soulbox.app.commands.target import Target
from soulbox.kube.auth import Credentials, Impersonation
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import EXECUTIONS, FUNCTIONS, NAMESPACES, SANDBOXES, Resource
from soulbox.model.errors import (
    CommandError,
    KubeExists,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    SoulBoxError,
)
from soulbox.model.keys import CLI_FIELD_MANAGER
from soulbox.model.kinds import EXECUTION, FUNCTION, SANDBOX

# What a kind may be called, as kubectl has it.
KINDS: Final[Mapping[str, Resource]] = {
    f"{name}{group}": resource
    for resource, words in (
        (EXECUTIONS, EXECUTION.words),
        (SANDBOXES, SANDBOX.words),
        (FUNCTIONS, FUNCTION.words),
    )
    for name in words
    for group in ("", f".{resource.group}")
}

Manifest = dict[str, Any]
_T = TypeVar("_T")
_CALL_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The caller, and the place of the call."""

    kube: KubeClient
    namespace: str
    server: str
    target: Target
    clock: ServerClock

    async def find(self, resource: Resource, name: str) -> Manifest:
        """An object of the person's namespace.

        Raises:
            CommandError: there is none of that name; with near matches.
        """
        try:
            return await self.kube.get(resource, name, self.namespace)
        except KubeNotFound as error:
            await self._check_installation()
            raise CommandError(await self._unknown(resource, name)) from error

    async def find_one(self, name: str) -> tuple[Resource, Manifest]:
        """An object by execution/NAME, sandbox/NAME or function/NAME; an Execution or a Sandbox
        by its name alone too.

        Raises:
            CommandError: there is none, or there are both.
        """
        kind, _, bare = name.rpartition("/")
        if kind:
            resource = KINDS.get(kind.lower())
            if resource is None:
                raise CommandError(f"{kind}: write execution/NAME, sandbox/NAME or function/NAME")
            return resource, await self.find(resource, bare)
        found = []
        for resource in (EXECUTIONS, SANDBOXES):
            try:
                manifest = await self.kube.get(resource, name, self.namespace)
            except KubeNotFound:
                continue
            found.append((resource, manifest))
        if len(found) > 1:
            raise CommandError(
                f"an Execution and a Sandbox are named {name}: write execution/{name} or "
                f"sandbox/{name}"
            )
        if found:
            return found[0]
        return EXECUTIONS, await self.find(EXECUTIONS, name)  # says what there is instead

    async def _unknown(self, resource: Resource, name: str) -> str:
        where = f" in namespace {self.namespace}" if resource.namespaced else ""
        text = f"there is no {resource.kind} {name}{where}"
        scope = self.namespace if resource.namespaced else None
        try:
            names = [one["metadata"]["name"] for one in await self.kube.list(resource, scope)]
        except SoulBoxError:
            names = []
        near = difflib.get_close_matches(name, names, n=3)
        if near:
            return f"{text}; did you mean {' or '.join(near)}?"
        if names:
            return f"{text}; there are {', '.join(sorted(names)[:8])}"
        return f"{text}, nor any other; `kubectl get {resource.plural} -A` searches all namespaces"

    async def _check_installation(self) -> None:
        """Raises CommandError when it is not the object that is missing."""
        try:
            await anext(self.kube.pages(EXECUTIONS, self.namespace))
        except KubeNotFound as error:
            raise CommandError(
                f"SoulBox is not installed in the cluster at {self.server}: choose another "
                "--context, or install it (helm install, or kubectl apply --server-side -f "
                "manifests/install.yaml)"
            ) from error
        except SoulBoxError:
            return

    async def explain(self, error: SoulBoxError) -> CommandError:
        """The same in words that name the remedy."""
        match error:
            case KubeUnavailable():
                return CommandError(
                    f"the API server at {self.server} does not answer: {error}. Is the cluster up,"
                    " and is it the one you want? `kubectl config current-context` shows which one"
                    " is chosen; --context and KUBECONFIG choose another"
                )
            case KubeRefused(status=401):
                return CommandError(
                    f"the API server at {self.server} does not know you: log in again, or choose "
                    "another --context"
                )
            # Admission and quotas answer 403 too, in words of their own.
            case KubeRefused(status=403, message=message) if _is_want_of_roles(message):
                return CommandError(
                    f"{error.message}. Ask for the roles `soulbox-view` and `soulbox-edit` (only"
                    f" the first if you just want to look) in namespace {self.namespace}: kubectl"
                    " create rolebinding NAME --clusterrole=soulbox-view --user=YOU -n"
                    f" {self.namespace}, and the same with --clusterrole=soulbox-edit"
                )
            case KubeRefused():
                return CommandError(error.message)
            case KubeNotFound():
                return await self._not_found(error)
            case KubeExists():
                return CommandError(f"{error}: choose another --name")
        return CommandError(str(error))

    async def check_namespace(self) -> None:
        """Raises CommandError when the person's namespace does not exist; says nothing to a person
        without the right to know."""
        try:
            await self.kube.get(NAMESPACES, self.namespace)
        except KubeNotFound:
            near = ""
            try:
                names = [one["metadata"]["name"] for one in await self.kube.list(NAMESPACES)]
                matches = difflib.get_close_matches(self.namespace, names, n=1)
                near = f"; did you mean {matches[0]}?" if matches else ""
            except SoulBoxError:
                pass  # may not list them: the hint is left out
            raise CommandError(f"there is no namespace {self.namespace}{near}") from None
        except SoulBoxError:
            return

    async def _not_found(self, error: KubeNotFound) -> CommandError:
        try:
            await self._check_installation()
            await self.check_namespace()
        except CommandError as found:
            return found
        return CommandError(str(error))


def _is_want_of_roles(message: str) -> bool:
    """Whether RBAC refused: 'User "ann" cannot list resource "sandboxes" in API group …'."""
    return " cannot " in message and " cannot impersonate " not in message


@asynccontextmanager
async def open_person(target: Target) -> AsyncIterator[Person]:
    """A session with the person's own kubeconfig.

    Raises:
        ConfigError: there is no usable one.
    """
    impersonate = None  # the user that the kubeconfig says
    if target.as_user is not None or target.as_groups:
        impersonate = Impersonation(user=target.as_user or "", groups=target.as_groups)
    credentials = Credentials(
        None if target.kubeconfig is None else str(target.kubeconfig),
        context=target.context,
        user_agent="soulbox",
        impersonate=impersonate,
    )
    try:
        clock = ServerClock()
        yield Person(
            kube=KubeClient(
                credentials,
                clock,
                timeout_seconds=_CALL_SECONDS,
                field_manager=CLI_FIELD_MANAGER,
            ),
            namespace=target.namespace or credentials.namespace,
            server=credentials.server,
            target=target,
            clock=clock,
        )
    finally:
        await credentials.close()


def as_person(target: Target, action: Callable[[Person], Awaitable[_T]]) -> _T:
    """Run a command's work in an event loop.

    Raises:
        CommandError: what failed, with its remedy.
        ConfigError: no usable kubeconfig.
    """

    async def work() -> _T:
        async with open_person(target) as person:
            try:
                return await action(person)
            except CommandError:
                raise
            except (KubeUnavailable, KubeRefused, KubeNotFound, KubeExists) as error:
                raise await person.explain(error) from error

    return asyncio.run(work())


def status_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's status, empty before it has one."""
    found: Mapping[str, Any] = manifest.get("status") or {}
    return found


def is_over(execution: Mapping[str, Any]) -> bool:
    """Whether an Execution has reached its end."""
    return "completionTime" in status_of(execution)
