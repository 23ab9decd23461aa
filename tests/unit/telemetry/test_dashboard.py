"""The dashboard and the alerts ask only for what is scraped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.dashboard.grafana import build_dashboard
from soulbox.telemetry.families import FAMILIES

ROOT = Path(__file__).parents[3]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "manifests/dashboard/soulbox.json").read_text())
RULES = yaml.safe_load((ROOT / "manifests/chart/files/alerts.yaml").read_text())["groups"][0]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

# Put on by Prometheus when it scrapes, and by histograms themselves.
TARGET_LABELS = {"job", "instance", "pod", "le"}
SERIES: dict[str, set[str]] = {}
for _family in FAMILIES:
    _labels = set(_family.labels) | TARGET_LABELS
    _suffixes = ("_bucket", "_sum", "_count") if _family.type == "histogram" else ("",)
    SERIES |= {_family.name + suffix: _labels for suffix in _suffixes}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query with whose it is."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for rule in RULES["rules"]:
        yield rule["alert"], rule["expr"]


def labels_of(expr: str) -> set[str]:
    """Labels in matchers and in by and without clauses."""
    found: set[str] = set()
    for matchers in re.findall(r"\{([^}]*)\}", expr):
        found |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    for names in re.findall(r"\b(?:by|without) ?\(([^)]*)\)", expr):
        found |= {name.strip() for name in names.split(",") if name.strip()}
    return found


@pytest.mark.parametrize(("owner", "expr"), list(expressions()))
def test_metrics_and_labels_of_a_query_exist(owner: str, expr: str) -> None:
    names = set(re.findall(r"\bsoulbox_\w+", expr))
    assert names, "it asks for nothing of ours"
    assert names <= SERIES.keys()
    for name in names:
        assert labels_of(expr) <= SERIES[name], name


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_legend_names_only_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        kept = {
            name.strip()
            for names in re.findall(r"\bby ?\(([^)]*)\)", target["expr"])
            for name in names.split(",")
        }
        assert wanted == kept - {"le"}


def test_panels_do_not_overlap_and_fill_their_rows() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & mine, panel["title"]
        cells |= mine
    assert len(cells) == 24 * (max(y for _, y in cells) + 1)


def test_file_is_what_the_panels_say() -> None:
    assert build_dashboard() == DASHBOARD


def test_alerts_are_explained_and_no_other() -> None:
    page = (ROOT / "docs/alerts.md").read_text()
    explained = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert explained == [rule["alert"] for rule in RULES["rules"]]
    for rule in RULES["rules"]:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert {"summary", "description"} == rule["annotations"].keys()
