"""hack/up and hack/down on the real machine: what is broken heals, and nothing is left.

Needs the machine for itself: it is skipped while a cluster is up.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster import containerd, node, operator, ownership, postgres, processes, tokens
from hack.cluster.config import BRIDGE, CHECKOUT, DATA_DIR, NODE_ADDRESS, RUN_DIR, paths
from tests.support.patience import KUBECTL_PATIENCE, PATIENCE_SECONDS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # a cold build of Kubernetes takes 5 to 8 minutes
    pytest.mark.skipif(
        platform.system() != "Linux" or os.geteuid() != 0, reason="the local cluster needs root"
    ),
    pytest.mark.skipif(ownership.current() is not None, reason="a cluster is up: hack/down first"),
]

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe"},
    "spec": {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsUser": 1073741000,
            "runAsGroup": 1073741000,
            "fsGroup": 1073741000,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "python",
                "image": "soulbox/python:dev",
                "command": ["python3", "-c", "import time; time.sleep(3600)"],
                "resources": {
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                    "limits": {"cpu": "500m", "memory": "64Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],
    },
}


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def traces() -> dict[str, object]:
    """Everything on the machine that a cluster could leave behind."""
    addresses = json.loads(said("ip", "-j", "address"))
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    folders = [Path(name) for name in ("/run", "/var/lib", "/var/log", "/etc", "/usr/libexec")]
    settings = ("net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic")
    return {
        "addresses": sorted(
            (link["ifname"], address["local"])
            for link in addresses
            for address in link["addr_info"]
        ),
        "links": sorted(link["ifname"] for link in addresses),
        "routes": said("ip", "route", "show", "table", "all").splitlines(),
        "namespaces": said("ip", "netns").splitlines(),
        "firewall": said("nft", "list", "tables").splitlines(),
        "mounts": sorted(line.split()[4] for line in mounts),
        "cgroups": sorted(map(str, Path("/sys/fs/cgroup").glob("**/kubepods"))),
        "sysctls": [(Path("/proc/sys") / name).read_text() for name in settings],
        "files": sorted(str(file) for folder in folders for file in folder.iterdir()),
        "shared memory": said("ipcs", "-m").count("postgres"),
        "shared files": sorted(map(str, Path("/dev/shm").glob("PostgreSQL.*"))),
        "processes": our_processes(),
    }


def our_processes() -> list[str]:
    """Command lines that name one of our folders."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # gone meanwhile
        if any(str(folder) in word for folder in (DATA_DIR, RUN_DIR) for word in words):
            found.append(" ".join(words))
    return sorted(found)


def run_hack(command: str, state: Path, *options: str) -> str:
    """Run hack/up or hack/down with its own state folder, without a DSN of the shell."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SOULBOX_")}
    environment["SOULBOX_CLUSTER"] = "local"
    if cache := os.environ.get("SOULBOX_CACHE_DIR"):
        environment["SOULBOX_CACHE_DIR"] = cache
    done = subprocess.run(
        [str(CHECKOUT / "hack" / command), "--state-dir", str(state), *options],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


class Cluster:
    def __init__(self, state: Path) -> None:
        self.state = state

    def up(self) -> str:
        return run_hack("up", self.state, "--no-operator")

    def kubectl(self, *words: str, manifest: object = None) -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.state / "kubeconfig"), *words],
            check=False, capture_output=True, text=True,
            input=json.dumps(manifest) if manifest else None,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sql(self, query: str) -> str:
        lines = (self.state / "env").read_text().splitlines()
        (dsn,) = (line.partition("=")[2] for line in lines if line.startswith("export SOULBOX_DSN"))
        return said("psql", dsn, "-Atc", query).strip()


@pytest.fixture(scope="module")
def machine_before() -> dict[str, object]:
    return traces()


@pytest.fixture(scope="module")
def cluster(machine_before: dict[str, object]) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="soulbox-state-") as folder:
        cluster = Cluster(Path(folder))
        cluster.up()
        cluster.kubectl("apply", "-f", "-", manifest=POD)
        cluster.kubectl("wait", "--for=condition=Ready", "pod/probe", KUBECTL_PATIENCE)
        yield cluster
        run_hack("down", cluster.state)


def pids() -> dict[str, int]:
    records = [*processes.recorded(), *processes.recorded(DATA_DIR / "postgres" / "processes")]
    return {record.name: record.pid for record in records if processes.is_alive(record)}


def test_restricted_pod_runs_python_and_reaches_nothing_but_services(cluster: Cluster) -> None:
    assert cluster.kubectl("exec", "probe", "--", "python3", "-c", "print(6 * 7)") == "42\n"
    routes = cluster.kubectl("exec", "probe", "--", "ip", "route")
    assert "default" not in routes
    version = cluster.kubectl(
        "exec", "probe", "--", "wget", "-qO-", "--no-check-certificate", "https://10.96.0.1/version"
    )
    assert json.loads(version)["gitVersion"].startswith("v1.")


def test_pod_has_the_runner(cluster: Cluster) -> None:
    version = cluster.kubectl("exec", "probe", "--", "soulbox-runner", "version")
    assert version.strip() not in ("", "unknown")


def test_api_server_is_closed_to_other_machines(cluster: Cluster) -> None:
    rules = said("nft", "list", "table", "inet", "soulbox-local")
    assert f'iifname != {{ "lo", "{BRIDGE}" }} drop' in rules
    assert NODE_ADDRESS in cluster.kubectl("get", "node", node.name(), "-o", "wide")


def test_files_with_secrets_are_the_owners_alone(cluster: Cluster) -> None:
    for name in ("env", "kubeconfig"):
        assert (cluster.state / name).stat().st_mode & 0o077 == 0


def test_audit_log_names_who_wrote_with_which_program(cluster: Cluster) -> None:
    events = map(json.loads, (cluster.state / "audit.log").read_text().splitlines())
    creations = [
        event
        for event in events
        if event["verb"] in ("create", "patch")
        and event.get("objectRef", {}).get("name") == "probe"
        and event["objectRef"]["resource"] == "pods"
        and "subresource" not in event["objectRef"]
    ]
    assert [event["user"]["username"] for event in creations] == ["soulbox-admin"]
    assert creations[0]["userAgent"].startswith("kubectl/")
    assert "requestObject" not in creations[0]


def test_operators_kubeconfig_holds_its_service_account_and_a_fresh_token(
    cluster: Cluster,
) -> None:
    folders = paths(str(cluster.state))
    kubectl = str(cluster.state / "bin" / "kubectl")
    token = cluster.state / "operator.token"
    operator.install(folders, kubectl)
    tokens.renew(kubectl, folders.kubeconfig, token)
    first = token.read_text()

    kubeconfig = operator.write_kubeconfig(folders, kubectl, token)
    who = said(kubectl, "--kubeconfig", str(kubeconfig), "auth", "whoami", "-o", "json")

    account = json.loads(who)["status"]["userInfo"]
    assert account["username"] == "system:serviceaccount:soulbox-system:soulbox-operator"
    assert "system:masters" not in account["groups"]
    assert "certificate" not in kubeconfig.read_text().replace("certificate-authority", "")
    assert token.stat().st_mode & 0o077 == 0
    tokens.renew(kubectl, folders.kubeconfig, token)
    assert token.read_text() != first


def test_up_again_restarts_nothing(cluster: Cluster) -> None:
    before = pids()
    cluster.up()
    assert pids() == before
    assert len(before) == 9  # eight of the cluster and PostgreSQL


def test_up_after_everything_was_killed_heals_and_keeps_pod_and_rows(cluster: Cluster) -> None:
    cluster.sql("CREATE TABLE kept AS SELECT 7 AS n")
    before = pids()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    cluster.up()

    after = pids()
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert cluster.sql("SELECT n FROM kept") == "7"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:  # the kubelet needs a moment to find its pods again
        try:
            output = cluster.kubectl("exec", "probe", "--", "echo", "alive")
            break
        except AssertionError:
            if time.monotonic() > deadline:
                raise
    assert output == "alive\n"
    assert cluster.kubectl("get", "pod", "probe", "-o", "jsonpath={.status.phase}") == "Running"


@pytest.mark.parametrize("killed", [(), ("containerd", "kubelet"), ("postgres", "etcd")])
def test_down_leaves_nothing_whatever_died_before(
    cluster: Cluster, machine_before: dict[str, object], killed: tuple[str, ...]
) -> None:
    cluster.up()
    cluster.kubectl("apply", "-f", "-", manifest=POD)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/probe", KUBECTL_PATIENCE)
    alive = pids()
    for name in killed:
        os.kill(alive[name], signal.SIGKILL)

    run_hack("down", cluster.state)

    for name, want in machine_before.items():
        assert traces()[name] == want, name
    left = {file.name for file in cluster.state.iterdir()}
    assert left <= {"logs", "audit.log"}  # the operator's own kubeconfig and token go too
    assert not containerd.STATE.exists()
    assert not postgres.is_running(DATA_DIR / "postgres")


def test_down_ends_what_an_interrupted_up_began(
    cluster: Cluster, machine_before: dict[str, object]
) -> None:
    first = subprocess.Popen(
        [str(CHECKOUT / "hack/up"), "--no-operator", "--state-dir", str(cluster.state)],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "kube-apiserver" not in pids():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.kill()
    first.wait()

    run_hack("down", cluster.state)

    for name, want in machine_before.items():
        assert traces()[name] == want, name
