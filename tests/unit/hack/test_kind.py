"""The trial on kind, as far as it goes without a Docker engine."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster import cli, follow, kind, operator, pgserver, postgres
from hack.cluster.config import HACK, OPERATOR_NAMESPACE, ClusterError, Paths
from hack.cluster.node import POD_PIDS_LIMIT


def test_cluster_is_one_node_with_postgres_port_and_a_wall_for_fork_bombs() -> None:
    text = (HACK / "kind/cluster.yaml").read_text()
    cluster = yaml.safe_load(text.replace("HOST_PORT", "5433"))
    assert cluster["apiVersion"] == "kind.x-k8s.io/v1alpha4"
    (node,) = cluster["nodes"]
    (mapping,) = node["extraPortMappings"]
    assert mapping["hostPort"] == 5433
    assert mapping["listenAddress"] == "127.0.0.1"
    (patch,) = map(yaml.safe_load, node["kubeadmConfigPatches"])
    assert patch == {"kind": "KubeletConfiguration", "podPidsLimit": POD_PIDS_LIMIT}


def test_database_lies_outside_what_uninstall_removes() -> None:
    service, server = yaml.safe_load_all((HACK / "kind/postgres.yaml").read_text())
    assert kind.TRIAL_NAMESPACE != OPERATOR_NAMESPACE
    for manifest in (service, server):
        assert manifest["metadata"]["namespace"] == kind.TRIAL_NAMESPACE
    (port,) = service["spec"]["ports"]
    text = (HACK / "kind/cluster.yaml").read_text().replace("HOST_PORT", "1")
    mapped = yaml.safe_load(text)["nodes"][0]["extraPortMappings"][0]["containerPort"]
    assert port["nodePort"] == mapped


@pytest.mark.parametrize(
    ("said", "want"),
    [
        ("kind v0.30.0 go1.25.1 linux/amd64\n", (0, 30, 0)),
        ("kind v0.22.0 go1.20.13 linux/amd64\n", (0, 22, 0)),
        ("kind version 0.8\n", (0,)),
    ],
)
def test_version_of_kind(said: str, want: tuple[int, ...]) -> None:
    assert kind.version(said) == want
    assert (want >= kind.version(kind.KIND_VERSION)) == (want == (0, 30, 0))


@pytest.mark.parametrize(
    ("running", "want"), [("", False), ("sha256:built", False), ("sha256:older", True)]
)
def test_operator_is_restarted_only_for_another_image(running: str, want: bool) -> None:
    settings = kind.Settings(
        port=1, password="p", loaded={"operator": "sha256:built"}, running=running
    )
    assert kind.needs_restart(settings) is want


def test_images_are_built_after_what_they_are_made_from() -> None:
    assert kind.IMAGES.index("python") < kind.IMAGES.index("python-data")


@pytest.mark.parametrize(
    ("asked", "answers", "want"),
    [
        ({}, True, "kind"),
        ({}, False, "local"),
        ({"SOULBOX_CLUSTER": "local"}, True, "local"),
        ({"SOULBOX_CLUSTER": "kind"}, True, "kind"),
        ({"SOULBOX_CLUSTER": "kind"}, False, "needs a Docker engine"),
        ({"SOULBOX_CLUSTER": "minikube"}, True, "take kind or local"),
        ({"SOULBOX_USE_CLUSTER": "1", "KUBECONFIG": "/k"}, True, "given"),
        ({"SOULBOX_USE_CLUSTER": "1"}, True, "needs KUBECONFIG"),
    ],
)  # fmt: skip
def test_cluster_is_chosen(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], answers: bool, want: str
) -> None:
    monkeypatch.setattr(kind, "engine_answers", lambda: answers)
    if want in ("kind", "local", "given"):
        assert cli.choose(asked) == want
    else:
        with pytest.raises(ClusterError, match=want):
            cli.choose(asked)


@pytest.fixture
def folders(tmp_path: Path) -> Paths:
    return Paths(state=tmp_path / "state of mine", cache=tmp_path / "cache")


def shell(env_file: str, *, before: dict[str, str]) -> dict[str, str]:
    """The variables of a shell that has read the file twice."""
    script = f"{env_file}\n{env_file}\nenv -0"
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True, env=before
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def test_env_file_puts_the_cluster_s_own_programs_first_once(folders: Paths) -> None:
    text = cli.environment("local", folders, "postgresql://here", own=True)
    seen = shell(text, before={"PATH": "/usr/bin:/bin"})
    assert seen["PATH"] == f"{folders.state}/bin:/usr/bin:/bin"
    assert seen["KUBECONFIG"] == str(folders.kubeconfig)
    assert seen["SOULBOX_DSN"] == seen["SOULBOX_EMBEDDED_DSN"] == "postgresql://here"
    assert seen["SOULBOX_OPERATOR_URL"] == "http://127.0.0.1:8080"


def test_env_file_names_no_operator_of_this_machine_on_kind(folders: Paths) -> None:
    text = cli.environment("kind", folders, "postgresql://here", own=True)
    before = {"PATH": "/usr/bin:/bin", "SOULBOX_OPERATOR_URL": "http://127.0.0.1:8080"}
    assert "SOULBOX_OPERATOR_URL" not in shell(text, before=before)


def test_psql_is_found_without_a_server_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    psql = postgres.any_client()
    assert psql is not None
    done = subprocess.run([psql, "--version"], capture_output=True, text=True, check=True)
    assert "psql" in done.stdout

    def none() -> Path:
        raise ClusterError("no PostgreSQL server here")

    monkeypatch.setattr(pgserver, "find_programs", none)
    assert postgres.any_client() is None


def test_log_of_each_pod_is_shown_once_and_of_a_restarted_container_from_there_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[str]] = []

    class Call:
        def __init__(self, words: list[str]) -> None:
            self.returncode: int | None = None
            asked.append(words[words.index("--follow") + 1 :])

        def poll(self) -> int | None:
            return self.returncode

    pods = "pod/a\n"
    monkeypatch.setattr(follow, "run", lambda command: pods)
    monkeypatch.setattr(follow.subprocess, "Popen", Call)
    followed: dict[str, follow.Following] = {}

    follow.look("kubectl", "/k", followed)
    follow.look("kubectl", "/k", followed)
    assert asked == [["pod/a"]]

    followed["pod/a"].process.returncode = 1  # its container was still being made
    pods = "pod/a\npod/b\n"
    follow.look("kubectl", "/k", followed)
    assert asked[1:] == [["pod/a"], ["pod/b"]]

    followed["pod/a"].process.returncode = 0
    follow.look("kubectl", "/k", followed)
    (again,) = asked[3:]
    assert again[0] == "pod/a"
    assert again[1].startswith("--since-time=20")


def test_trial_runs_one_replica_so_that_its_log_is_whole(
    monkeypatch: pytest.MonkeyPatch, folders: Paths
) -> None:
    applied: list[str] = []

    def run(command: list[Any], *, stdin: str = "", **_: Any) -> str:
        if "apply" in command:
            applied.append(stdin)
        return ""

    monkeypatch.setattr(operator, "run", run)
    operator.install(folders, "kubectl", everything=True)
    documents = [one for text in applied for one in yaml.safe_load_all(text) if one]
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 1


@pytest.mark.parametrize("script", ["hack/test", "hack/bench", ".ci/run"])
def test_tests_and_bench_take_the_local_cluster_also_where_docker_answers(script: str) -> None:
    lines = (HACK.parent / script).read_text().splitlines()
    assert any("SOULBOX_CLUSTER=local" in shlex.split(line, comments=True) for line in lines)
