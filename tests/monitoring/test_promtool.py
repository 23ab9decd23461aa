"""Prometheus' own tool reads the alert rules, tests them, and parses the dashboard's queries."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from hack.dashboard.grafana import build_dashboard

ROOT = Path(__file__).parents[2]
RULES = ROOT / "manifests/chart/files/alerts.yaml"
CASES = Path(__file__).with_name("alerts_test.yaml")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The machine's, or Debian's from the cache."""
    found = subprocess.run([ROOT / "hack/prometheus"], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "promtool"


def run(promtool: Path, *arguments: object) -> str:
    """Its output; a failure shows it."""
    done = subprocess.run(
        [promtool, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_alert_rings_when_it_should_and_only_then(promtool: Path, tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(CASES, tmp_path)
    assert "SUCCESS" in run(promtool, "test", "rules", tmp_path / CASES.name)


def test_each_alert_has_a_case_in_which_it_rings_and_one_in_which_it_does_not() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    checks = [
        check
        for case in yaml.safe_load(CASES.read_text())["tests"]
        for check in case["alert_rule_test"]
    ]
    alerts = {rule["alert"] for rule in rules}
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == alerts
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} == alerts


def test_every_query_of_the_dashboard_is_promql(promtool: Path, tmp_path: Path) -> None:
    queries = [
        target["expr"].replace("$__rate_interval", "1m")
        for panel in build_dashboard()["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(queries) > 30
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in run(promtool, "check", "rules", file)
