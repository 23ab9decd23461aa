"""NetworkPolicies hold on the local node: every connection here is really tried."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from hack.cluster.config import API_PORT, BRIDGE, FIRST_SERVICE_ADDRESS, NODE_ADDRESS
from hack.cluster.console import run
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class
from tests.support.fix_operator import OperatorProcess
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

IMAGE = "soulbox/python:dev"
BRIDGE_ADDRESS = "10.244.0.1"
KUBELET_PORT = 10250
RUNNER_PORT = 8478
STARTING_PODS = 50

# Tries all targets at once. Closed is what does not answer in four tries of a second and a half:
# an enforcer may hear of a pod a moment late.
PROBE = """
import json, socket, sys, threading
targets = json.loads(sys.argv[1])
found = dict.fromkeys(targets, "closed")
def look(name, host, port):
    for _ in range(4):
        try:
            socket.create_connection((host, port), timeout=1.5).close()
        except OSError:
            continue
        found[name] = "open"
        return
threads = [threading.Thread(target=look, args=(name, *target)) for name, target in targets.items()]
for one in threads: one.start()
for one in threads: one.join()
print(json.dumps(found))
"""

SERVER = """
import socket, sys, threading
def serve(port):
    with socket.create_server(("", port)) as server:
        while True: server.accept()[0].close()
for port in map(int, sys.argv[1:]): threading.Thread(target=serve, args=(port,)).start()
"""

# From its first moment on it tries to get out, for three seconds.
RUSH = """
import socket, sys, time
end, tried = time.monotonic() + 3, 0
while time.monotonic() < end:
    for host, port in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
        tried += 1
        with socket.socket() as one:
            one.settimeout(0.05)
            try:
                one.connect((host, port))
                print("OPEN", host, port)
            except OSError:
                pass
print("tried", tried)
"""


def pod(name: str, program: str, *arguments: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-u", "-c", program, *arguments],
                    "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}},
                }
            ],
        },
    }


def policy(name: str, selector: Mapping[str, Any], **rules: Any) -> dict[str, Any]:
    types = [kind.capitalize() for kind in rules]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": selector, "policyTypes": types, **rules},
    }


def started(world: World, name: str) -> str:
    """The address of a pod whose program runs."""
    found = world.wait(
        "pod",
        name,
        lambda one: any(s.get("started") for s in one["status"].get("containerStatuses", ())),
        "a started container",
    )
    return str(found["status"]["podIP"])


def probe(world: World, name: str, targets: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """What is open and what is closed, as seen from a pod that runs."""
    answer = world.shell(name, "python3", "-c", PROBE, json.dumps(targets))
    return dict(json.loads(answer))


class Listener:
    """A server on every address of the node, that counts who came."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("", 0))
        self.port = int(self.socket.getsockname()[1])
        self.peers: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, peer = self.socket.accept()
            except OSError:
                return
            self.peers.append(str(peer[0]))
            connection.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    with closing(one.socket):
        yield one


def bridge_link_local() -> str:
    shown = json.loads(run(["ip", "-j", "-6", "address", "show", "dev", BRIDGE]))
    return next(str(info["local"]) for link in shown for info in link["addr_info"])


def test_sandbox_without_network_reaches_nothing(world: World, listener: Listener) -> None:
    """15 targets, all there: a pod without a policy reaches those that speak IPv4."""
    world.create(make_sandbox("victim", resources={"cpu": "50m"}))
    world.create(make_sandbox("closed", resources={"cpu": "50m"}))
    world.create(pod("neighbour", SERVER, "8001", "8478"))
    world.create(pod("control", SERVER, "8001"))
    neighbour = started(world, "neighbour")
    started(world, "control")
    world.sandbox("victim")
    world.sandbox("closed")
    victim = world.get("pod", world.pod_of("victim"))["status"]["podIP"]
    link_local = f"{bridge_link_local()}%eth0"
    anybody = {
        "the API server by its service": (FIRST_SERVICE_ADDRESS, 443),
        "the API server by the node": (NODE_ADDRESS, API_PORT),
        "the API server by the bridge": (BRIDGE_ADDRESS, API_PORT),
        "the kubelet by the node": (NODE_ADDRESS, KUBELET_PORT),
        "a program of the node": (NODE_ADDRESS, listener.port),
        "a program of the node by the bridge": (BRIDGE_ADDRESS, listener.port),
        "a pod": (neighbour, 8001),
        "a pod's port of the runners": (neighbour, 8478),
    }
    nobody = {
        "another Sandbox's runner": (victim, RUNNER_PORT),
        "the API server by IPv6": (link_local, API_PORT),
        "a program of the node by IPv6": (link_local, listener.port),
        "the cloud's metadata": ("169.254.169.254", 80),
        "metadata by IPv6": ("fd00:ec2::254", 80),
        "a documentation address": ("192.0.2.1", 443),
        "another documentation address": ("198.51.100.1", 53),
    }
    assert probe(world, "control", anybody | nobody) == {
        **dict.fromkeys(anybody, "open"),
        **dict.fromkeys(nobody, "closed"),
    }
    listener.peers.clear()
    world.create(
        make_execution(
            "look", sandboxRef={"name": "closed"}, code=PROBE, args=[json.dumps(anybody | nobody)]
        )
    )
    status = world.execution("look")["status"]
    assert status["state"] == "Completed", status
    assert json.loads(status["output"]["stdout"]) == dict.fromkeys(anybody | nobody, "closed")
    assert listener.peers == []


def test_rules_of_policies_hold(world: World) -> None:
    """Peers by label and by namespace, single ports, ranges, blocks with exceptions."""
    other = f"{world.namespace}-other"
    world.kubectl.run("create", "namespace", other)
    try:
        elsewhere = World(world.kubectl, other, world.dsn, world._operator_log)
        world.create(policy("in", {"matchLabels": {"role": "server"}}, ingress=[
            {"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}],
             "ports": [{"port": 8001}]},
            {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": other}},
                       "podSelector": {"matchLabels": {"role": "guest"}}}],
             "ports": [{"port": 8002}]},
            {"ports": [{"port": 8010, "endPort": 8012}]},
        ]))  # fmt: skip
        world.create(pod("server", SERVER, "8001", "8002", "8010", "8012", "8013", role="server"))
        world.create(pod("spared", SERVER, "8001", "8002", role="spared"))
        for name in ("friend", "stranger", "bound"):
            world.create(pod(name, SERVER, "9000", role=name))
        for name in ("guest", "passer"):
            elsewhere.create(pod(name, SERVER, "9000", role=name))
        server, spared = started(world, "server"), started(world, "spared")
        world.create(policy("out", {"matchLabels": {"role": "bound"}}, egress=[
            {"to": [{"ipBlock": {"cidr": "10.244.0.0/16", "except": [f"{server}/32"]}}],
             "ports": [{"port": 8001}]},
        ]))  # fmt: skip
        for name in ("friend", "stranger", "bound"):
            started(world, name)
        for name in ("guest", "passer"):
            started(elsewhere, name)
        ports = {str(port): (server, port) for port in (8001, 8002, 8010, 8012, 8013)}
        always = {"8010": "open", "8012": "open", "8013": "closed"}
        closed = {"8001": "closed", "8002": "closed"}
        assert probe(world, "friend", ports) == {**always, "8001": "open", "8002": "closed"}
        assert probe(world, "stranger", ports) == {**always, **closed}
        assert probe(elsewhere, "guest", ports) == {**always, "8001": "closed", "8002": "open"}
        assert probe(elsewhere, "passer", ports) == {**always, **closed}
        targets = {
            "the exception": (server, 8001),
            "in the block": (spared, 8001),
            "another port": (spared, 8002),
        }
        assert probe(world, "bound", targets) == {
            "the exception": "closed",
            "in the block": "open",
            "another port": "closed",
        }
    finally:
        world.kubectl.run("delete", "namespace", other, "--wait=false")


def test_no_pod_gets_out_before_its_policy_holds(world: World, listener: Listener) -> None:
    world.create(policy("nothing", {"matchLabels": {"role": "rush"}}, egress=[]))
    world.create(pod("neighbour", SERVER, "8001"))
    neighbour = started(world, "neighbour")
    names = [f"rush-{number}" for number in range(STARTING_PODS)]
    targets = [NODE_ADDRESS, str(listener.port), neighbour, "8001", FIRST_SERVICE_ADDRESS, "443"]
    for name in names:
        world.create(pod(name, RUSH, *targets, role="rush"))
    for name in names:
        world.wait("pod", name, lambda one: one["status"].get("phase") == "Succeeded", "its end")
        said = world.kubectl.run("logs", name, "--namespace", world.namespace)
        assert "OPEN" not in said
        assert int(said.split()[-1]) >= 3  # it did try
    assert listener.peers == []


OUT = """
import socket
try:
    socket.create_connection((HOST, PORT), timeout=1.5).close()
    print("open")
except OSError:
    print("closed")
"""


def test_no_code_starts_before_its_policy_is_seen_in_force(
    world: World, operator: OperatorProcess, listener: Listener
) -> None:
    """Policies add up: one of the namespace's that allows everything takes the wall away, as a
    network plugin does that enforces none, or is late."""
    operator.stop()
    operator.start(SOULBOX_ENFORCEMENT_WAIT_SECONDS="8")
    name = f"walled-{world.namespace}"
    found = world.kubectl.get("sandboxclass", "python")
    spec = {**found["spec"], "network": {"requireEnforcement": True}}
    world.kubectl.create(make_sandbox_class(name) | {"spec": spec})
    code = OUT.replace("HOST", repr(NODE_ADDRESS)).replace("PORT", str(listener.port))
    try:
        world.create(policy("open", {}, egress=[{}]))
        world.create(make_sandbox("box", className=name, resources={"cpu": "50m"}))
        world.create(make_execution("queued", sandboxRef={"name": "box"}, code=code))
        told = world.wait(
            "sandbox",
            "box",
            lambda one: one["status"].get("reason") == "NetworkNotEnforced",
            "word of the missing wall",
        )["status"]
        assert "its pod could connect to the operator" in told["message"]
        assert "network.requireEnforcement: false" in told["message"]
        # Not before: the node may be late with the policy that opens the wall, too.
        world.create(make_execution("alone", sandboxRef=None, className=name, code=code))
        failed = world.execution("alone")["status"]
        assert (failed["state"], failed["reason"]) == ("Failed", "NetworkNotEnforced")
        assert failed["message"].endswith("None of its code ran.")
        error = world.sandbox("box", "Error")["status"]
        assert error["reason"] == "NetworkNotEnforced"
        assert {"NetworkNotEnforced"} <= {one["reason"] for one in world.events_of("box")}
        waits = world.get("execution", "queued")["status"]
        assert waits["state"] == "Queued"
        assert "its pod could connect to the operator" in waits["message"]
        assert listener.peers == []  # no code ran

        world.delete("networkpolicy", "open")
        ran = world.execution("queued")["status"]
        assert (ran["state"], ran["output"]["stdout"]) == ("Completed", "closed\n")
        assert world.get("sandbox", "box")["status"]["reason"] == "Running"
        world.create(make_execution("after", sandboxRef=None, className=name, code=code))
        assert world.execution("after")["status"]["output"]["stdout"] == "closed\n"
        assert listener.peers == []
    finally:
        world.kubectl.run("delete", "sandboxclass", name, "--wait=false")
        operator.stop()
        operator.start()


# Names first, then addresses asked directly: a server that may not be asked is silent.
NAMES = """
import json, socket, struct, sys
def ask(name, kind, server="10.96.0.10"):
    words = b"".join(bytes([len(w)]) + w.encode() for w in name.split(".")) + b"\\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(2)
        for _ in range(3):
            one.sendto(struct.pack(">6H", 7, 256, 1, 0, 0, 0) + words + struct.pack(">2H", kind, 1),
                       (server, 53))
            try:
                answer = one.recv(4096)
            except OSError:
                continue
            return {"code": answer[3] & 15, "answers": struct.unpack(">H", answer[6:8])[0]}
    return "silence"
def resolve(name):
    try:
        return sorted({one[4][0] for one in socket.getaddrinfo(name, 80, socket.AF_INET)})
    except socket.gaierror:
        return "unknown"
print(json.dumps({
    **{name: resolve(name) for name in sys.argv[1:]},
    "AAAA": ask("kubernetes.default.svc.cluster.local", 28),
    "SRV": ask("_https._tcp.kubernetes.default.svc.cluster.local", 33),
    "PTR": ask("1.0.96.10.in-addr.arpa", 12),
    "missing": ask("nobody.default.svc.cluster.local", 1),
    "outside": ask("example.com", 1),
}))
"""


def test_cluster_dns_answers_those_that_may_ask_it(world: World) -> None:
    """The class's profile decides; the answers are those of every cluster."""
    name = f"named-{world.namespace}"
    found = world.kubectl.get("sandboxclass", "python")
    profiles = [
        {"name": "dns", "egress": [{"dns": True}]},
        {"name": "numbers", "egress": [{"cidr": "10.244.0.0/16", "ports": [{"port": 8001}]}]},
    ]
    spec = {**found["spec"], "networkProfiles": profiles}
    world.kubectl.create(make_sandbox_class(name) | {"spec": spec})
    try:
        world.create(pod("a", SERVER, "8001", role="group"))
        world.create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "group"},
                "spec": {
                    "clusterIP": "None",
                    "selector": {"role": "group"},
                    "ports": [{"port": 8001}],
                },
            }
        )
        address = started(world, "a")
        group = f"group.{world.namespace}.svc.cluster.local"
        names = ["kubernetes.default", group, f"{address.replace('.', '-')}.{group}", "example.com"]
        world.kubectl.run(
            "wait", "--namespace=kube-system", "--for=condition=Available",
            "deployment/cluster-dns",
        )  # fmt: skip
        for profile in ("dns", "numbers", "none"):
            world.create(
                make_sandbox(profile, className=name, network=profile, resources={"cpu": "50m"})
            )
        world.wait(
            "pod", "a",
            lambda one: any(
                c["type"] == "Ready" and c["status"] == "True" for c in one["status"]["conditions"]
            ),
            "readiness",
        )  # fmt: skip
        answers = {}
        for profile in ("dns", "numbers", "none"):
            world.create(
                make_execution(profile, sandboxRef={"name": profile}, code=NAMES, args=names)
            )
        for profile in ("dns", "numbers", "none"):
            status = world.execution(profile)["status"]
            assert status["state"] == "Completed", status
            answers[profile] = json.loads(status["output"]["stdout"])
        told = answers["dns"]
        assert [told[one] for one in names] == [
            [FIRST_SERVICE_ADDRESS], [address], [address], "unknown",
        ]  # fmt: skip
        assert told["AAAA"]["code"] == told["AAAA"]["answers"] == 0
        assert (told["SRV"]["code"], told["SRV"]["answers"]) == (0, 1)
        assert (told["PTR"]["code"], told["PTR"]["answers"]) == (0, 1)
        assert (told["missing"]["code"], told["outside"]["code"]) == (3, 5)
        for profile in ("numbers", "none"):
            assert set(map(str, answers[profile].values())) == {"unknown", "silence"}, profile
    finally:
        world.kubectl.run("delete", "sandboxclass", name, "--wait=false")
