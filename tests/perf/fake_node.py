"""A node without a machine, so that a thousand pods are stored in the real API server.

Its Node and Lease are real objects, the scheduler binds the pods, and the operator sees what
it would see: pods that run. What a kubelet would do is done here: the status of a bound pod is
written once. Their runners are one HTTP server on addresses of the loopback network that
answers the one question an operator asks a new pod.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import orjson

from soulbox.kube.client import Manifest
from soulbox.kube.resources import LEASES, PODS, SANDBOX_CLASSES, Resource
from soulbox.model.errors import KubeConflict, KubeNotFound, KubeUnavailable
from soulbox.model.keys import RUNNER_CONTAINER, RUNNER_PORT
from tests.perf.cluster import NAMESPACE, Cluster, soulbox

NAME = "soulbox-bench-node"
SCALE_CLASS = "soulbox-bench-scale"
_NODES = Resource(kind="Node", plural="nodes", version="v1", namespaced=False)
# 127.64.0.0/12: every address of 127/8 is this machine.
_FIRST_ADDRESS = int(IPv4Address("127.64.0.1"))
_WRITERS = 16


_TAINT = {"key": "soulbox-bench", "effect": "NoSchedule"}


class FakeNode:
    """The node and its runners, while `run` runs."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._addresses: dict[str, str] = {}  # pod uid by address
        self._next = _FIRST_ADDRESS
        self._bound: asyncio.Queue[Manifest] = asyncio.Queue()

    async def prepare(self) -> None:
        """The Node, its Lease, and a class whose pods run there only."""
        kube = self._cluster.kube
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": _micro()},
        }
        await kube.create(LEASES, lease, "kube-node-lease")
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NAME, "labels": {"soulbox-bench": "fake"}},
            "spec": {"taints": [_TAINT]},
            "status": _node_status(),
        }
        await kube.create(_NODES, node)
        python = await kube.get(SANDBOX_CLASSES, "python", None)
        spec = {
            **python["spec"],
            "cpuRequestPercent": 1,
            "nodeSelector": {"soulbox-bench": "fake"},
            "tolerations": [{"key": "soulbox-bench", "operator": "Exists"}],
        }
        await kube.create(SANDBOX_CLASSES, soulbox("SandboxClass", SCALE_CLASS, spec))

    async def run(self) -> None:
        """Renew the Lease, tell of bound pods, answer for their runners; until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Runner(self._addresses), "0.0.0.0", RUNNER_PORT, backlog=2048
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._heartbeat())
                group.create_task(self._watch_pods())
                for _ in range(_WRITERS):
                    group.create_task(self._write_statuses())
        finally:
            server.close()

    async def remove(self) -> None:
        """Take it all away; its pods must be gone."""
        cluster = self._cluster
        await cluster.remove(_NODES, NAME, None)
        await cluster.remove(LEASES, NAME, "kube-node-lease")
        await cluster.remove(SANDBOX_CLASSES, SCALE_CLASS, None)

    async def usable(self) -> None:
        """Wait until the node controller takes off the taint that new nodes get."""
        async with asyncio.timeout(60):
            while True:
                node = await self._cluster.kube.get(_NODES, NAME)
                if node["spec"].get("taints") == [_TAINT]:
                    return
                await asyncio.sleep(0.2)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(10)
            body = {"spec": {"renewTime": _micro()}}
            with suppress(KubeUnavailable):
                await self._cluster.kube.patch(LEASES, NAME, body, "kube-node-lease")

    async def _watch_pods(self) -> None:
        cluster = self._cluster
        events = cluster.events(
            PODS, await cluster.version(PODS), fieldSelector=f"spec.nodeName={NAME}"
        )
        async for event in events:
            if event["type"] in ("ADDED", "MODIFIED"):
                self._bound.put_nowait(event["object"])

    async def _write_statuses(self) -> None:
        while True:
            pod = await self._bound.get()
            uid, deleting = pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]
            if deleting and pod["status"].get("phase") == "Running":
                await self._patch(pod, _ended(pod))
                await self._kill(pod)
            elif not deleting and pod["status"].get("phase") == "Pending":
                address = str(IPv4Address(self._next))
                self._next += 1
                self._addresses[address] = uid
                await self._patch(pod, _running(pod, address))

    async def _patch(self, pod: Manifest, status: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        with suppress(KubeNotFound, KubeConflict):
            await self._cluster.kube.patch(
                PODS, name, {"status": status}, NAMESPACE, subresource="status"
            )

    async def _kill(self, pod: Manifest) -> None:
        """As a kubelet does when the containers have ended."""
        metadata = pod["metadata"]
        await self._cluster.kube.delete(
            PODS, metadata["name"], NAMESPACE, uid=metadata["uid"], grace_seconds=0
        )


class _Runner(asyncio.Protocol):
    """Answers every request as a runner without runs would; which pod's, its address tells."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._addresses = addresses
        self._transport: asyncio.Transport | None = None
        self._uid = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._uid = self._addresses.get(transport.get_extra_info("sockname")[0], "")

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        body = orjson.dumps(
            {"executions": [], "runnerVersion": "bench", "podUid": self._uid, "time": _now()}
        )
        # As Go's server does: an operator asks the runners of all sandboxes so.
        closes = b"connection: close" in data.lower()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Connection: {'close' if closes else 'keep-alive'}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        if closes:
            self._transport.close()


def _node_status() -> dict[str, Any]:
    amounts = {"cpu": "4k", "memory": "4Ti", "pods": "10k", "ephemeral-storage": "100Ti"}
    now = _now()
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "no machine",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}


def _running(pod: Manifest, address: str) -> dict[str, Any]:
    """The status that a kubelet writes of such a pod, in full."""
    now = _now()
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        for kind in kinds
    ]
    known = [c for c in pod["status"].get("conditions", ()) if c["type"] == "PodScheduled"]
    container = pod["spec"]["containers"][0]
    digest = "sha256:" + "0" * 64
    return {
        "phase": "Running",
        "conditions": [*conditions, *known],
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "qosClass": "Burstable",
        "containerStatuses": [
            {
                "name": RUNNER_CONTAINER,
                "state": {"running": {"startedAt": now}},
                "lastState": {},
                "ready": True,
                "started": True,
                "restartCount": 0,
                "image": container["image"],
                "imageID": digest,
                "containerID": f"containerd://{'0' * 64}",
                "resources": container.get("resources", {}),
                "volumeMounts": container.get("volumeMounts", []),
            }
        ],
    }


def _ended(pod: Manifest) -> dict[str, Any]:
    """The same pod after SIGTERM."""
    statuses = pod["status"]["containerStatuses"]
    started = statuses[0]["state"]["running"]["startedAt"]
    end = {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": _now()}
    return {
        "phase": "Succeeded",
        "containerStatuses": [{**statuses[0], "ready": False, "state": {"terminated": end}}],
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
