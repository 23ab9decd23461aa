"""The cluster as the bench uses it: creating objects, seeing on a watch what becomes of them."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient, Manifest
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import (
    EXECUTIONS,
    FUNCTIONS,
    NAMESPACES,
    SANDBOX_CLASSES,
    SANDBOXES,
    Resource,
)
from soulbox.model.errors import KubeExists, KubeNotFound

NAMESPACE = "soulbox-bench"
CLASS = "soulbox-bench"
CODE = "print(42)"
# One object of a watch; a pod with its managedFields has some 10 KiB.
_LINE_BYTES = 2**22

Done = Callable[[Manifest], bool]


class Watch:
    """One watch over a resource in the bench's namespace; waits for objects by name."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[tuple[Done, asyncio.Future[float]]]] = defaultdict(
            list
        )

    async def read(self, cluster: "Cluster", resource: Resource, version: str) -> None:
        """Until cancelled."""
        async for event in cluster.events(resource, version):
            self._take(event)

    def wait(self, name: str, done: Done) -> "asyncio.Future[float]":
        """When (time.perf_counter) an event brings what `done` accepts; ask before creating."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[name].append((done, future))
        return future

    def _take(self, event: Manifest) -> None:
        seen = time.perf_counter()
        found = event["object"]
        name = found["metadata"]["name"]
        waiting = self._waiting.get(name)
        if waiting is None:
            return
        gone = event["type"] == "DELETED"
        for entry in list(waiting):
            done, future = entry
            if done({} if gone else found):
                waiting.remove(entry)
                if not future.done():
                    future.set_result(seen)
        if not waiting:
            del self._waiting[name]


class Cluster:
    """The API server, as whoever KUBECONFIG names."""

    def __init__(self) -> None:
        self.credentials = Credentials(None)
        self.kube = KubeClient(self.credentials, ServerClock())

    async def version(self, resource: Resource) -> str:
        """A resourceVersion of now: a watch from it brings everything from here on. A list's, for
        an object's own is that of its last change, which a watch may no longer go back to."""
        async with self.credentials.session().get(
            self.credentials.server + resource.path(NAMESPACE), params={"limit": "1"}
        ) as response:
            response.raise_for_status()
            return str(orjson.loads(await response.read())["metadata"]["resourceVersion"])

    async def events(
        self, resource: Resource, version: str, **params: str
    ) -> AsyncIterator[Manifest]:
        """Watch events in the bench's namespace after a resourceVersion, without an end: an API
        server ends the watch of a client that is behind, and it goes on where it was."""
        url = self.credentials.server + resource.path(NAMESPACE)
        while True:
            query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3600"}
            async with self.credentials.session().get(
                url, params=query | params, timeout=None, read_bufsize=_LINE_BYTES
            ) as response:
                response.raise_for_status()
                async for line in response.content:
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(event["object"])
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event

    @asynccontextmanager
    async def watch(self, resource: Resource) -> AsyncIterator[Watch]:
        """A watch that is open while inside; its failure fails whoever waits."""
        watch = Watch()
        task = asyncio.create_task(watch.read(self, resource, await self.version(resource)))
        body = asyncio.current_task()
        assert body is not None
        task.add_done_callback(lambda ended: None if ended.cancelled() else body.cancel())
        try:
            yield watch
        except asyncio.CancelledError:
            if task.done() and not task.cancelled():
                await task  # raises why it ended
            raise
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(task, return_exceptions=True)

    async def timed(
        self, watch: Watch, resource: Resource, manifest: Manifest, done: Done
    ) -> float:
        """Seconds from sending the create to seeing what `done` accepts."""
        seen = watch.wait(manifest["metadata"]["name"], done)
        started = time.perf_counter()
        await self.kube.create(resource, manifest, NAMESPACE)
        return await seen - started

    async def remove(
        self, resource: Resource, name: str, namespace: str | None = NAMESPACE
    ) -> None:
        """Delete, without waiting for the end; gone already is fine."""
        with suppress(KubeNotFound):
            found = await self.kube.get(resource, name, namespace)
            await self.kube.delete(
                resource, name, namespace, uid=found["metadata"]["uid"], grace_seconds=0
            )

    async def prepare(self) -> None:
        """The bench's namespace and class.

        The class's sandboxes request hardly any CPU, so that twenty fit the machine, and are
        limited to one core each: a lower limit would be what is measured (python's start takes
        some 20 ms of CPU; under a limit of 100m the kernel stretches that to 200 ms).
        """
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await self.kube.create(NAMESPACES, manifest)
        python = await self.kube.get(SANDBOX_CLASSES, "python", None)
        spec = {
            **python["spec"],
            "cpuRequestPercent": 1,
            "defaults": {"cpu": "1", "memory": "64Mi"},
        }
        with suppress(KubeExists):
            await self.kube.create(SANDBOX_CLASSES, soulbox("SandboxClass", CLASS, spec))

    async def empty(self) -> None:
        """Delete all Executions and Sandboxes and wait until the operator has let go of them."""
        async with asyncio.timeout(300):
            for resource in (FUNCTIONS, EXECUTIONS, SANDBOXES):
                url = self.credentials.server + resource.path(NAMESPACE)
                body = {"propagationPolicy": "Background"}
                async with self.credentials.session().delete(url, json=body) as response:
                    response.raise_for_status()
                await self._gone(resource.path(NAMESPACE), lambda found: not found["items"])

    async def clean(self) -> None:
        """Remove what `prepare` made, and all in it."""
        await self.empty()
        await self.remove(NAMESPACES, NAMESPACE, None)
        await self.remove(SANDBOX_CLASSES, CLASS, None)
        async with asyncio.timeout(60):
            await self._gone(
                NAMESPACES.path(None, NAMESPACE), lambda found: found["kind"] == "Status"
            )

    async def _gone(self, path: str, done: Done) -> None:
        while True:
            # One page tells whether anything is left.
            async with self.credentials.session().get(
                self.credentials.server + path, params={"limit": "1"}
            ) as response:
                if done(orjson.loads(await response.read())):
                    return
            await asyncio.sleep(0.5)


def condition(manifest: Manifest, kind: str) -> str:
    """The status of a condition, "" if there is none."""
    found = (manifest.get("status") or {}).get("conditions") or ()
    return next((str(c["status"]) for c in found if c["type"] == kind), "")


def is_ready(manifest: Manifest) -> bool:
    """Ready=True."""
    return condition(manifest, "Ready") == "True"


def is_published(found: Manifest) -> bool:
    """Whether a Function can be called."""
    return bool(found.get("status", {}).get("version"))


def has_completed(manifest: Manifest) -> bool:
    """The Execution is over, whatever its end."""
    return "completionTime" in (manifest.get("status") or {})


def is_gone(manifest: Manifest) -> bool:
    """The object was deleted."""
    return not manifest


def soulbox(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    """One of our objects."""
    return {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def sandbox(name: str, class_name: str = CLASS) -> Manifest:
    """A Sandbox of the bench's class."""
    return soulbox("Sandbox", name, {"className": class_name})


def execution(name: str, sandbox_name: str) -> Manifest:
    """An Execution of print(42)."""
    return soulbox(
        "Execution",
        name,
        {"sandboxRef": {"name": sandbox_name}, "language": "python", "code": CODE},
    )


def function(name: str) -> Manifest:
    """A Function that doubles a number, judged at both ends; its Sandboxes are like the bench's."""
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    return soulbox(
        "Function",
        name,
        {
            "className": CLASS,
            "handler": "main",
            "code": "def main(given):\n    return {'n': given['n'] * 2}\n",
            "inputSchema": schema,
            "outputSchema": schema,
        },
    )


def call(name: str, function_name: str) -> Manifest:
    """An Execution that calls it."""
    return soulbox("Execution", name, {"functionRef": {"name": function_name}, "input": {"n": 21}})


def bare_pod(name: str, of: Manifest) -> Manifest:
    """The same pod as a sandbox's, without an operator."""
    left_out = ("nodeName", "activeDeadlineSeconds", "serviceAccount", "serviceAccountName")
    spec = {key: value for key, value in of["spec"].items() if key not in left_out}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
