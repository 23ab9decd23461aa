"""The runner looks at its pod's network policy: real namespaces, real packets, real rules.

The runner lives in a network namespace behind another one that stands for the node; its rules are
those that network plugins write. This process is the operator.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soulbox.box.client import RunnerClient
from soulbox.box.signing import SigningKey
from soulbox.box.target import ForbiddenTarget
from soulbox.box.transport import PodAddress, open_session
from soulbox.model.errors import RunnerUnavailable
from soulbox.model.states import PolicyFinding, RunState
from tests.support.runner_client import POD_UID, Runner, start_runner
from tests.support.seen import make_start_run
from tests.support.worker import worker_number

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"),
    reason="network namespaces need root, ip and nft",
)

UID = "6f1c2a34-8a51-4f0e-9a3c-2f6d0b7c9e11"
# RFC 2544: never routed. Each worker has addresses of its own.
OPERATOR, NODE, GATEWAY, POD = (f"198.18.200.{8 * worker_number() + host}" for host in (1, 2, 5, 6))
PLUGINS = {
    "silence, as most plugins": "drop",
    "ICMP port unreachable, as kube-router": "reject",
    "ICMP prohibited": "reject with icmp type admin-prohibited",
    "a reset": "reject with tcp reset",
}


def sh(*words: str, stdin: str = "") -> None:
    subprocess.run(words, check=True, input=stdin, text=True, capture_output=True)


@dataclass(frozen=True)
class Network:
    """A node's namespace and that of its pod."""

    node: str
    pod: str

    def enforce(self, verdict: str) -> None:
        """From now on no connection of the pod gets further than its node."""
        sh(
            "ip", "netns", "exec", self.node, "nft", "-f", "-",
            stdin=f"""
            table ip policies {{
                chain forward {{
                    type filter hook forward priority 0;
                    ct state established,related accept
                    ip saddr {POD} tcp flags syn {verdict}
                }}
            }}
            """,
        )  # fmt: skip


@pytest.fixture
def network() -> Iterator[Network]:
    mark = secrets.token_hex(3)
    made = Network(f"soulbox-node-{mark}", f"soulbox-pod-{mark}")
    outer = f"sbo{mark}"
    try:
        for name in (made.node, made.pod):
            sh("ip", "netns", "add", name)
        sh("ip", "link", "add", outer, "type", "veth", "peer", "up0", "netns", made.node)
        sh("ip", "-n", made.node, "link", "add", "down0", "type", "veth",
           "peer", "eth0", "netns", made.pod)  # fmt: skip
        sh("ip", "address", "add", f"{OPERATOR}/30", "dev", outer)
        sh("ip", "-n", made.node, "address", "add", f"{NODE}/30", "dev", "up0")
        sh("ip", "-n", made.node, "address", "add", f"{GATEWAY}/30", "dev", "down0")
        sh("ip", "-n", made.pod, "address", "add", f"{POD}/30", "dev", "eth0")
        sh("ip", "link", "set", outer, "up")
        for name, link in ((made.node, "up0"), (made.node, "down0"), (made.pod, "eth0")):
            sh("ip", "-n", name, "link", "set", link, "up")
        sh("ip", "-n", made.pod, "route", "add", "default", "via", GATEWAY)
        sh("ip", "route", "add", f"{POD}/32", "via", NODE)
        sh("ip", "netns", "exec", made.node, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        yield made
    finally:
        # At once, with its routes: a namespace's own links go some time after it.
        subprocess.run(["ip", "link", "delete", outer], check=False, capture_output=True)
        for name in (made.node, made.pod):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def guarded(network: Network, binary: Path, base: Path) -> Iterator[Runner]:
    """A runner in the pod's namespace that wants to see its policy."""
    inside = ("ip", "netns", "exec", network.pod)
    with start_runner(binary, base, "--require-enforcement", prefix=inside, host=POD) as one:
        yield one


@pytest.fixture
async def client(guarded: Runner) -> AsyncIterator[RunnerClient]:
    key = SigningKey.from_seed(guarded.signer.key.private_bytes_raw())
    async with open_session() as session:
        yield RunnerClient(session, key, lambda: datetime.now(UTC))


@pytest.fixture
async def target() -> AsyncIterator[ForbiddenTarget]:
    async with ForbiddenTarget() as one:
        yield one


@pytest.fixture
def pod(guarded: Runner) -> PodAddress:
    return PodAddress(POD_UID, POD, guarded.port)


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_code_starts_once_the_policy_holds(
    network: Network, client: RunnerClient, pod: PodAddress, target: ForbiddenTarget, plugin: str
) -> None:
    """Nothing enforces at first, as in a pod's first second."""
    told = await target.towards(POD)
    assert told[0] == OPERATOR
    for _ in range(2):
        assert await client.look_at_policy(pod, told) == (PolicyFinding.CONNECTED, "")
    assert (await client.list(pod)).policy_unseen
    with pytest.raises(RunnerUnavailable, match="PolicyUnseen"):
        await client.start(pod, UID, 1, make_start_run(code="open('ran', 'w')"))
    assert (await client.list(pod)).executions == ()

    network.enforce(PLUGINS[plugin])
    assert await client.look_at_policy(pod, told) == (PolicyFinding.BLOCKED, "")
    assert (await client.list(pod)).policy_unseen  # one sign is none
    assert await client.look_at_policy(pod, told) == (PolicyFinding.SEEN, "")
    assert not (await client.list(pod)).policy_unseen
    code = "import os; print(os.path.exists('ran'))"
    document = await client.start(pod, UID, 1, make_start_run(code=code), wait_seconds=30)
    assert document.state is RunState.FINISHED
    assert document.stdout is not None
    assert document.stdout.head == b"False\n"


async def test_silence_proves_nothing_unless_the_caller_was_there_before_and_after(
    network: Network, client: RunnerClient, pod: PodAddress, target: ForbiddenTarget
) -> None:
    """Another operator's call does not vouch for the one that went; nor does a call that says
    it came from elsewhere."""
    network.enforce("drop")
    told = await target.towards(POD)
    assert (await client.look_at_policy(pod, told))[0] is PolicyFinding.BLOCKED
    async with ForbiddenTarget() as successor:
        other = await successor.towards(POD)
        assert (await client.look_at_policy(pod, other))[0] is PolicyFinding.BLOCKED
        finding, words = await client.look_at_policy(pod, ("198.51.100.7", told[1]))
        assert finding is PolicyFinding.TRANSLATED
        assert OPERATOR in words
        assert "198.51.100.7" in words
        assert (await client.list(pod)).policy_unseen
        assert (await client.look_at_policy(pod, other))[0] is PolicyFinding.SEEN


def test_only_who_signs_has_the_runner_look(network: Network, guarded: Runner) -> None:
    network.enforce("drop")
    body = b'{"address": "198.18.200.1", "port": 9}'
    forged = guarded.signer.headers("POST", "/v1/enforcement", body, pod_uid="another")
    assert guarded.send("POST", "/v1/enforcement", body, forged).code == "Unauthorized"
    for wrong, field in {
        b'{"address": "localhost", "port": 9}': "address",
        b'{"address": "198.18.200.1"}': "port",
        b'{"address": "198.18.200.1", "port": 9, "times": 3}': "body",
    }.items():
        refused = guarded.call("POST", "/v1/enforcement", wrong)
        assert (refused.status, refused.code) == (400, "Invalid")
        assert refused.json["error"]["message"].startswith(field)
    assert guarded.call("GET", "/v1/executions").json["policyUnseen"]


def test_runner_that_is_not_asked_to_look_does_not(runner: Runner) -> None:
    assert "policyUnseen" not in runner.call("GET", "/v1/executions").json
    body = b'{"address": "127.0.0.1", "port": 9}'
    assert runner.call("POST", "/v1/enforcement", body).code == "NotFound"
