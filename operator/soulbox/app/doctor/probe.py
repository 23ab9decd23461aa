"""Whether NetworkPolicies are enforced, tried with pods in a namespace of their own.

A server pod; a client without a policy, which must get through (or nothing is proven); then a
policy that forbids all egress to pods with a label, and a client with that label, which must
not. That one also tries the kubelet of its node and the API server, which Kubernetes leaves open
where they are on the pod's own node. The namespace goes afterwards, with everything in it.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any

from soulbox.kube.client import KubeClient
from soulbox.kube.resources import NAMESPACES, NETWORK_POLICIES, PODS, SANDBOX_CLASSES, Resource
from soulbox.model.errors import KubeConflict, KubeExists, KubeRefused, SoulBoxError
from soulbox.pure.doctor.classes import Enforcement, NodeOpen
from soulbox.pure.doctor.finding import Unseen

_ACCOUNTS = Resource(kind="ServiceAccount", plural="serviceaccounts", version="v1")
_PORT = 8080
# Image pulls may be needed.
_POD_SECONDS = 120.0
# How long a client tries; an enforcer may need a moment to hear of a pod or a policy.
_CONNECT_SECONDS = 6
_LOOK_SECONDS = 0.5

_SERVER = f"""
import socket
with socket.create_server(("", {_PORT})) as server:
    while True:
        server.accept()[0].close()
"""
# An enforcer may be late by a second, so the last try counts. The exit code is 0 if it got through,
# else 8 and a bit for each port of the node that answered.
_HELD = 8
_NODE_PORTS = {1: "the kubelet (port 10250)", 2: "the API server"}
_CLIENT = f"""
import os, socket, sys, time
def reaches(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        return True
    except OSError:
        return False
end, reached = time.monotonic() + {_CONNECT_SECONDS}, False
while time.monotonic() < end:
    reached = reaches(sys.argv[1], {_PORT})
    time.sleep(0.5)
node = reaches(os.environ["NODE"], 10250)
server = reaches(os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"])
sys.exit(0 if reached else {_HELD} + node + 2 * server)
"""


async def probe_network(kube: KubeClient) -> Enforcement | NodeOpen | Unseen:
    """Try it; takes some 20 s where images are on the nodes."""
    try:
        image = await _python_image(kube)
        if image is None:
            return Unseen(why="the probe needs a SandboxClass with python, and there is none")
        namespace = f"soulbox-doctor-{secrets.token_hex(4)}"
        metadata = {
            "name": namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }
        created = await kube.create(NAMESPACES, _manifest("v1", "Namespace", metadata, {}))
        try:
            return await _try(kube, namespace, image)
        finally:
            await kube.delete(NAMESPACES, namespace, uid=created["metadata"]["uid"])
    except KubeRefused as error:
        return Unseen(why=error.message[:256], denied=error.status == 403)
    except SoulBoxError as error:
        return Unseen(why=str(error)[:256])


async def _try(
    kube: KubeClient, namespace: str, image: Mapping[str, Any]
) -> Enforcement | NodeOpen | Unseen:
    await _account(kube, namespace)
    await _create_pod(kube, namespace, "server", _pod(image, [_SERVER]))
    server = await _wait(kube, namespace, "server", "Running")
    if isinstance(server, Unseen):
        return server
    address = str(server["status"]["podIP"])
    await _create_pod(kube, namespace, "free", _pod(image, [_CLIENT, address]))
    free = await _wait(kube, namespace, "free", "Succeeded", "Failed")
    if isinstance(free, Unseen):
        return free
    if free["status"]["phase"] == "Failed":
        return Enforcement.INCONCLUSIVE
    policy = {"podSelector": {"matchLabels": {"probe": "held"}}, "policyTypes": ["Egress"]}
    await kube.create(
        NETWORK_POLICIES,
        _manifest("networking.k8s.io/v1", "NetworkPolicy", {"name": "none"}, policy),
        namespace,
    )
    await _create_pod(kube, namespace, "held", _pod(image, [_CLIENT, address]))
    held = await _wait(kube, namespace, "held", "Succeeded", "Failed")
    if isinstance(held, Unseen):
        return held
    if held["status"]["phase"] == "Succeeded":
        return Enforcement.NOT_ENFORCED
    return judge_client(held)


def judge_client(pod: Mapping[str, Any]) -> Enforcement | NodeOpen | Unseen:
    """What the exit code of a client tells that did not get through to the server."""
    containers = pod["status"].get("containerStatuses") or ()
    ended = containers[0]["state"].get("terminated") if containers else None
    if ended is None:  # evicted, say
        return Unseen(why="the probe's client was ended by its node, so nothing is proven")
    code = int(ended["exitCode"])
    bits = code - _HELD
    if not 0 <= bits <= sum(_NODE_PORTS):
        return Unseen(why=f"the probe's client ended with exit code {code}, so nothing is proven")
    ports = tuple(name for bit, name in _NODE_PORTS.items() if bits & bit)
    return NodeOpen(ports=ports) if ports else Enforcement.ENFORCED


async def _python_image(kube: KubeClient) -> dict[str, Any] | None:
    """Image, pull policy and command of the first class that has Python."""
    for manifest in await kube.list(SANDBOX_CLASSES):
        spec = manifest["spec"]
        python = (spec.get("interpreters") or {}).get("python")
        if python is not None:
            found = {"image": spec["image"], "command": python["command"]}
            if "imagePullPolicy" in spec:
                found["imagePullPolicy"] = spec["imagePullPolicy"]
            return found
    return None


def _pod(image: Mapping[str, Any], arguments: list[str]) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "activeDeadlineSeconds": round(_POD_SECONDS),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                **image,
                "name": "probe",
                "args": ["-c", *arguments],
                "env": [
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
                ],
                "resources": {
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                    "limits": {"cpu": "200m", "memory": "64Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def _manifest(version: str, kind: str, metadata: Mapping[str, Any], spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


async def _account(kube: KubeClient, namespace: str) -> None:
    """A new namespace's default ServiceAccount comes a moment later; pods without a token
    may use one of our own at once."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default"},
    }
    try:
        await kube.create(_ACCOUNTS, manifest, namespace)
    except (KubeExists, KubeConflict):
        return


async def _create_pod(kube: KubeClient, namespace: str, name: str, spec: Any) -> None:
    metadata = {"name": name, "labels": {"probe": name}}
    await kube.create(PODS, _manifest("v1", "Pod", metadata, spec), namespace)


async def _wait(
    kube: KubeClient, namespace: str, name: str, *phases: str
) -> dict[str, Any] | Unseen:
    """The pod once it is in one of the phases."""
    deadline = time.monotonic() + _POD_SECONDS
    while True:
        pod = await kube.get(PODS, name, namespace)
        phase = pod["status"].get("phase")
        if phase in phases:
            return pod
        if phase in ("Succeeded", "Failed") or time.monotonic() > deadline:
            return Unseen(why=f"the probe's pod {name} is {phase} and not {' or '.join(phases)}")
        await asyncio.sleep(_LOOK_SECONDS)
