"""What is wrong with an installation is said in one line, or heals by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import ROOT, Kubectl
from tests.support.fix_operator import OperatorProcess
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOBODY_LISTENS = "postgresql://nobody:secret-word@127.0.0.1:1/soulbox"


def run_operator(kubeconfig: Path, dsn: str) -> "subprocess.CompletedProcess[str]":
    """`soulbox operator` to its end, which must come by itself."""
    return subprocess.run(
        [sys.executable, "-m", "soulbox", "operator", "--http-listen", "127.0.0.1:0"],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "SOULBOX_DSN": dsn},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_missing_rights_are_one_line_and_exit_code_2(
    kubectl: Kubectl, namespace: str, database: str, tmp_path: Path
) -> None:
    kubectl.run("create", "serviceaccount", "powerless", "--namespace", namespace)
    token = kubectl.run("create", "token", "powerless", "--namespace", namespace)
    shown = kubectl.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    config = json.loads(shown)
    for user in config["users"]:
        user["user"] = {"token": token.strip()}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    ended = run_operator(kubeconfig, database)
    assert ended.returncode == 2
    assert ended.stderr.strip().count("\n") == 0
    assert "forbidden" in ended.stderr
    assert "install.yaml" in ended.stderr


def test_an_api_server_that_is_not_there_is_one_line_and_exit_code_2(
    database: str, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    ended = run_operator(kubeconfig, database)
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("soulbox: the API server at https://127.0.0.1:1 did not answer")


def test_postgresql_away_at_the_start_stops_nothing_and_is_made_up_for(
    world: World, operator: OperatorProcess
) -> None:
    operator.stop()
    operator.start(SOULBOX_DSN=NOBODY_LISTENS)
    world.create(make_sandbox("box"))
    world.sandbox("box")
    created = world.create(make_execution("run"))
    assert world.execution("run")["status"]["state"] == "Completed"
    assert operator.answers("/healthz")
    world.poll(lambda: not operator.answers("/readyz"), "readiness to say degraded")
    assert "secret-word" not in operator.log.read_text()
    world.delete("execution", "run")  # not recorded yet: it must not go
    operator.stop()
    assert world.find("execution", "run") is not None
    operator.start()
    world.wait_gone("execution", "run")
    rows = world.wait_rows(
        "select state, stdout from soulbox.executions where uid = %(uid)s",
        uid=created["metadata"]["uid"],
    )
    assert rows == [{"state": "completed", "stdout": "42\n"}]
    world.poll(lambda: operator.answers("/readyz"), "readiness")
