"""The panels as Grafana's JSON.

python -m hack.dashboard.grafana FILE
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hack.dashboard.panels import ROWS, Panel, Row

_COLUMNS = 24
_HEIGHTS = {"stat": 4, "timeseries": 8}
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def build_dashboard(rows: Sequence[Row] = ROWS) -> dict[str, Any]:
    """The whole dashboard, as one imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        panels.append(_heading(row, len(panels) + 1, top))
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, height = top + height, 0, 0
            grid = {"x": left, "y": top, "w": panel.width, "h": _HEIGHTS[panel.type]}
            panels.append(_panel(panel, len(panels) + 1, grid))
            left, height = left + panel.width, max(height, grid["h"])
        top += height
    return {
        "title": "SoulBox",
        "uid": "soulbox",
        "description": "Made by hack/generate from hack/dashboard/panels.py; edits are lost.",
        "tags": ["soulbox"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "timezone": "browser",
        "templating": {"list": [_DATASOURCE_VARIABLE, _JOB_VARIABLE]},
        "panels": panels,
    }


_DATASOURCE_VARIABLE: dict[str, Any] = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
}
_JOB_VARIABLE: dict[str, Any] = {
    "name": "job",
    "label": "Job",
    "type": "query",
    "datasource": _DATASOURCE,
    "query": {"query": "label_values(soulbox_queue_ready, job)", "refId": "job"},
    "definition": "label_values(soulbox_queue_ready, job)",
    "includeAll": True,
    "allValue": ".+",
    "current": {"text": "All", "value": "$__all"},
    "multi": True,
    "refresh": 2,
}


def _heading(row: Row, number: int, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        "panels": [],
    }


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    is_stat = panel.type == "stat"
    return {
        "id": number,
        "type": panel.type,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": grid,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": is_stat,
                "range": not is_stat,
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _stat_options() if is_stat else _series_options(),
    }


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.type == "stat":
        steps: list[dict[str, Any]] = [{"color": "text", "value": None}]
        if panel.bad is not None:
            steps = [
                {"color": "green", "value": None},
                {"color": "red", "value": panel.bad},
            ]
        field["thresholds"] = {"mode": "absolute", "steps": steps}
        field["color"] = {"mode": "thresholds"}
        field["noValue"] = "no data"
        if panel.names:
            options = {value: {"text": text} for value, text in panel.names.items()}
            field["mappings"] = [{"type": "value", "options": options}]
        return field
    field["custom"] = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 0,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }
    return field


def _stat_options() -> dict[str, Any]:
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
    }


def _series_options() -> dict[str, Any]:
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def main(arguments: Sequence[str]) -> int:
    """Write the file; the exit code."""
    if len(arguments) != 1:
        print("usage: python -m hack.dashboard.grafana FILE", file=sys.stderr)
        return 2
    target = Path(arguments[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(build_dashboard(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
