"""`up` and `down` on kind, against programs that only note how they were called.

They stand for docker, kind and kubectl, which need a Docker engine; what they answer is what
the real ones said when the path was tried with an engine.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hack.cluster import kind, operator, processes
from hack.cluster.config import ClusterError, Paths

pytestmark = pytest.mark.slow  # some forty short programs a test

DOCKER = """#!/bin/sh
echo "docker $*" >> "$CALLS"
case "$1 $2" in
    "cp -L") printf '#!/bin/sh\\necho "node-kubectl $*" >> "$CALLS"\\n' > "$4"; chmod +x "$4" ;;
    "image inspect") cat "$STATE/$4.id" 2>/dev/null || echo "sha256:first" ;;
    "ps --all") cat "$STATE/stopped" 2>/dev/null || true ;;
    "start "*) rm "$STATE/stopped" ;;
    "info ") [ ! -e "$STATE/no-engine" ] ;;
esac
"""
KIND = """#!/bin/sh
echo "kind $*" >> "$CALLS"
case "$1 $2" in
    "version ") echo "kind v0.30.0 go1.25.1 linux/amd64" ;;
    "get clusters") cat "$STATE/clusters" 2>/dev/null || true ;;
    "create cluster") cat > "$STATE/cluster.yaml"; echo soulbox > "$STATE/clusters" ;;
    "get kubeconfig") echo "apiVersion: v1" ;;
    "delete cluster") rm "$STATE/clusters" ;;
esac
"""


class Machine:
    """A machine with a Docker engine, as far as `kind` asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = Paths(state=folder / "local", cache=folder / "cache")
        self.paths.state.mkdir()
        self._calls = folder / "calls"

    def up(self) -> list[str]:
        """Bring it up and give back the calls that this made."""
        self._calls.write_text("")
        dsn = kind.up(self.paths, None)
        kind.run_operator(self.paths, dsn)
        return self._calls.read_text().splitlines()

    def down(self) -> list[str]:
        self._calls.write_text("")
        kind.down()
        return self._calls.read_text().splitlines()

    def rebuild(self, image: str) -> None:
        """The next build of an image has other content."""
        (self.folder / f"soulbox/{image}:dev.id").parent.mkdir(exist_ok=True)
        (self.folder / f"soulbox/{image}:dev.id").write_text("sha256:second\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("docker", DOCKER), ("kind", KIND)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setattr(kind, "DATA_DIR", tmp_path / "data")
    monkeypatch.setattr(kind, "_SETTINGS", tmp_path / "data" / "kind.json")
    monkeypatch.setattr(kind, "_KUBECTL", tmp_path / "data" / "kubectl")
    monkeypatch.setattr(operator, "migrate", lambda paths, dsn: None)
    monkeypatch.setattr(processes, "ensure", lambda *words, **options: None)
    return Machine(tmp_path)


def starting(calls: list[str], words: str) -> list[str]:
    return [call for call in calls if call.startswith(words)]


def test_first_up_uses_the_node_s_kubectl_and_loads_every_image_once(machine: Machine) -> None:
    calls = machine.up()
    assert starting(calls, "kind create cluster")
    assert starting(calls, "docker cp -L soulbox-control-plane:/usr/bin/kubectl")
    assert not starting(calls, "kubectl"), "the machine's is never asked"
    loaded = [call.split()[3] for call in starting(calls, "kind load docker-image")]
    assert loaded == [f"soulbox/{image}:dev" for image in kind.IMAGES]
    assert not any("rollout restart" in call for call in calls), "its pods are new anyway"
    assert any("-n soulbox-trial rollout status statefulset/soulbox-postgres" in c for c in calls)


def test_second_up_changes_nothing(machine: Machine) -> None:
    machine.up()
    calls = machine.up()
    assert not starting(calls, "kind create")
    assert not starting(calls, "kind load")
    assert not any("rollout restart" in call for call in calls)


def test_only_a_new_operator_image_restarts_the_operator(machine: Machine) -> None:
    machine.up()
    machine.rebuild("python")
    calls = machine.up()
    assert [call.split()[3] for call in starting(calls, "kind load")] == ["soulbox/python:dev"]
    assert not any("rollout restart" in call for call in calls)
    machine.rebuild("operator")
    assert any("rollout restart deployment/soulbox-operator" in call for call in machine.up())
    assert not any("rollout restart" in call for call in machine.up()), "once"


def test_stopped_node_is_started(machine: Machine) -> None:
    machine.up()
    (machine.folder / "stopped").write_text("0123abc\n")
    calls = machine.up()
    assert starting(calls, "docker start 0123abc")
    assert not starting(calls, "kind create")


def test_cluster_that_was_deleted_by_hand_gets_its_images_again(machine: Machine) -> None:
    machine.up()
    (machine.folder / "clusters").unlink()
    calls = machine.up()
    assert len(starting(calls, "kind load")) == len(kind.IMAGES)
    assert not any("rollout restart" in call for call in calls)


def test_down_deletes_the_cluster_and_says_what_to_do_without_an_engine(machine: Machine) -> None:
    machine.up()
    (machine.folder / "no-engine").touch()
    with pytest.raises(ClusterError, match="start Docker"):
        machine.down()
    (machine.folder / "no-engine").unlink()
    assert starting(machine.down(), "kind delete cluster --name soulbox")
