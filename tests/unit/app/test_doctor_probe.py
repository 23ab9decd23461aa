"""The network probe against a cluster whose pods end as a test says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from soulbox.app.doctor.probe import probe_network
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.pure.doctor.classes import Enforcement, NodeOpen
from soulbox.pure.doctor.finding import Unseen
from tests.support.builders import make_sandbox_class
from tests.unit.kube.scripted import write_kubeconfig


class Cluster:
    """Keeps what is created; each pod is in its phase at once."""

    def __init__(self, phases: Mapping[str, str], classes: list[dict[str, Any]]) -> None:
        self.phases = phases
        self.classes = classes
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.forbidden = False
        self.exit_code: int | None = 8  # of clients that fail; None: their node does not tell

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            if self.forbidden:
                return web.json_response({"message": "namespaces is forbidden"}, status=403)
            manifest = await request.json()
            self.created.append(manifest)
            manifest["metadata"]["uid"] = "u"
            return web.json_response(manifest)
        if request.method == "DELETE":
            self.deleted.append(request.path)
            return web.json_response({})
        if request.path.endswith("sandboxclasses"):
            return web.json_response({"items": self.classes})
        name = request.path.rpartition("/")[2]
        status = {"phase": self.phases[name], "podIP": "10.0.0.9"}
        if self.phases[name] == "Failed" and self.exit_code is not None:
            terminated = {"terminated": {"exitCode": self.exit_code}}
            status["containerStatuses"] = [{"state": terminated}]
        return web.json_response({"metadata": {"name": name}, "status": status})


async def probe(cluster: Cluster, folder: Path) -> Enforcement | NodeOpen | Unseen:
    """A whole probe against it."""
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", cluster.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        url = f"http://127.0.0.1:{server.port}"
        credentials = Credentials(write_kubeconfig(folder, url, token="t"))
        try:
            return await probe_network(KubeClient(credentials, ServerClock()))
        finally:
            await credentials.close()


def phases(free: str, held: str, server: str = "Running") -> dict[str, str]:
    return {"server": server, "free": free, "held": held}


CASES: dict[str, tuple[dict[str, str], Enforcement | str]] = {
    "the forbidden connection failed": (phases("Succeeded", "Failed"), Enforcement.ENFORCED),
    "the forbidden connection came about": (
        phases("Succeeded", "Succeeded"),
        Enforcement.NOT_ENFORCED,
    ),
    "not even the free one came about": (phases("Failed", "Failed"), Enforcement.INCONCLUSIVE),
    "the server did not start": (
        phases("Succeeded", "Failed", server="Failed"),
        "the probe's pod server is Failed and not Running",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_probe_tells_and_cleans_up(case: str, tmp_path: Path) -> None:
    ends, want = CASES[case]
    cluster = Cluster(ends, [make_sandbox_class()])
    found = await probe(cluster, tmp_path)
    if not isinstance(want, Enforcement):
        assert isinstance(found, Unseen)
        assert found.why == want
    else:
        assert found is want
    (namespace,) = (made for made in cluster.created if made["kind"] == "Namespace")
    assert cluster.deleted == [f"/api/v1/namespaces/{namespace['metadata']['name']}"]


@pytest.mark.parametrize(
    ("exit_code", "want"),
    [
        (9, NodeOpen(ports=("the kubelet (port 10250)",))),
        (10, NodeOpen(ports=("the API server",))),
        (11, NodeOpen(ports=("the kubelet (port 10250)", "the API server"))),
        (1, Unseen(why="the probe's client ended with exit code 1, so nothing is proven")),
        (None, Unseen(why="the probe's client was ended by its node, so nothing is proven")),
    ],
)
async def test_probe_names_the_node_s_ports_that_answer(
    exit_code: int | None, want: NodeOpen | Unseen, tmp_path: Path
) -> None:
    cluster = Cluster(phases("Succeeded", "Failed"), [make_sandbox_class()])
    cluster.exit_code = exit_code
    assert await probe(cluster, tmp_path) == want


async def test_policy_is_there_before_the_client_that_it_holds(tmp_path: Path) -> None:
    cluster = Cluster(phases("Succeeded", "Failed"), [make_sandbox_class()])
    await probe(cluster, tmp_path)
    kinds = [(made["kind"], made["metadata"]["name"]) for made in cluster.created[1:]]
    assert kinds == [
        ("ServiceAccount", "default"),
        ("Pod", "server"),
        ("Pod", "free"),
        ("NetworkPolicy", "none"),
        ("Pod", "held"),
    ]
    policy = cluster.created[-2]["spec"]
    held = cluster.created[-1]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= held.items()
    assert policy["policyTypes"] == ["Egress"]


async def test_cluster_without_python_cannot_be_probed(tmp_path: Path) -> None:
    bash = make_sandbox_class(interpreters={"bash": {"command": ["bash"], "extension": ".sh"}})
    found = await probe(Cluster({}, [bash]), tmp_path)
    assert isinstance(found, Unseen)
    assert "SandboxClass with python" in found.why


async def test_person_who_may_not_is_told(tmp_path: Path) -> None:
    cluster = Cluster({}, [make_sandbox_class()])
    cluster.forbidden = True
    found = await probe(cluster, tmp_path)
    assert found == Unseen(why="namespaces is forbidden", denied=True)
    assert cluster.deleted == []
