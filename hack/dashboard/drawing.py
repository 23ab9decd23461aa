"""Panels as HTML and SVG. Pure: answers in, a page out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

Series = list[tuple[str, list[tuple[float, float]]]]

# Grafana's grid: 24 columns, rows of 30 px and 8 px between.
_COLUMN, _ROW, _GAP = 57.0, 38, 8
_TOP = 56
_COLORS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#e02f44", "#8ab8ff", "#fade2a")
_STYLE = """
body { margin: 0; background: #111217; color: #ccccdc; font: 12px "DejaVu Sans", sans-serif }
h1 { font-size: 18px; margin: 12px 16px 0 } h1 small { font-size: 12px; color: #8e8e9c }
.panel { position: absolute; background: #181b1f; border: 1px solid #24262c; border-radius: 2px;
         box-sizing: border-box; padding: 6px 8px; overflow: hidden }
.panel b { font-weight: 500; white-space: nowrap }
.row { position: absolute; font-size: 14px; padding: 8px }
.stat { font-size: 26px; text-align: center; padding-top: 26px; white-space: nowrap }
.legend { position: absolute; bottom: 4px; left: 8px; right: 8px; max-height: 30px;
          font-size: 11px; overflow: hidden }
.legend i { font-style: normal; margin-right: 10px; white-space: nowrap }
text { fill: #8e8e9c; font-size: 10px }
"""


def draw_page(
    title: str,
    about: str,
    drawn: Sequence[tuple[dict[str, Any], Series]],
    span: tuple[float, float],
) -> tuple[str, int]:
    """The page and its height in pixels."""
    parts = [_place(panel, series, span) for panel, series in drawn]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in drawn)
    page = (
        f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>"
        f"<h1>{title} <small>{about}</small></h1>{''.join(parts)}"
    )
    return page, _TOP + bottom * _ROW + 100


def _place(panel: dict[str, Any], series: Series, span: tuple[float, float]) -> str:
    grid = panel["gridPos"]
    left, top = grid["x"] * _COLUMN + 16, grid["y"] * _ROW + _TOP
    width, height = grid["w"] * _COLUMN - _GAP, grid["h"] * _ROW - _GAP
    box = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    title = escape(panel["title"])
    if panel["type"] == "row":
        return f'<div class=row style="{box}">⌄ {title}</div>'
    inside = (
        _stat(panel, series)
        if panel["type"] == "stat"
        else _chart(panel, series, span, width - 18, height - 66)
    )
    return f'<div class=panel style="{box}"><b>{title}</b>{inside}</div>'


def _stat(panel: dict[str, Any], series: Series) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    if not series or not series[0][1]:
        return f"<div class=stat>{defaults['noValue']}</div>"
    value = series[0][1][-1][1]
    color = "#ccccdc"
    for step in defaults["thresholds"]["steps"]:
        if step["color"] != "text" and (step["value"] is None or value >= step["value"]):
            color = {"green": "#73bf69", "red": "#e02f44"}[step["color"]]
    text = _number(value, defaults["unit"])
    for mapping in defaults.get("mappings", ()):
        text = mapping["options"].get(f"{value:g}", {"text": text})["text"]
    return f'<div class=stat style="color:{color}">{escape(text)}</div>'


def _chart(
    panel: dict[str, Any], series: Series, span: tuple[float, float], width: float, height: float
) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    if not any(points for _, points in series):
        return "<div class=stat style='font-size:14px;padding-top:90px'>No data</div>"
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    lines = _stack(series) if stacked else [(name, points) for name, points in series]
    top = max((value for _, points in lines for _, value in points), default=0.0) * 1.1 or 1.0
    start, end = span

    def at(point: tuple[float, float]) -> str:
        x = 46 + (point[0] - start) / (end - start) * (width - 50)
        return f"{x:.1f},{height - 14 - point[1] / top * (height - 24):.1f}"

    drawn = []
    for share in (0.0, 0.5, 1.0):
        y = height - 14 - share * (height - 24)
        label = _number(share * top, defaults["unit"])
        drawn.append(f'<line x1=46 x2={width} y1={y} y2={y} stroke="#2c3235"/>')
        drawn.append(f"<text x=42 y={y + 3} text-anchor=end>{label}</text>")
    # The highest of a stack first: the lower ones are painted over it.
    for index in reversed(range(len(lines))):
        points = lines[index][1]
        color = _COLORS[index % len(_COLORS)]
        path = " ".join(at(point) for point in points)
        if stacked and points:
            below = lines[index - 1][1] if index else [(moment, 0.0) for moment, _ in points]
            floor = " ".join(at(point) for point in reversed(below))
            drawn.append(f'<polygon points="{path} {floor}" fill="{color}" opacity=.35 />')
        drawn.append(f'<polyline points="{path}" fill=none stroke="{color}" stroke-width=1.3 />')
    legend = " ".join(
        f"<i><span style='color:{_COLORS[i % len(_COLORS)]}'>▬</span> {escape(name)}</i>"
        for i, (name, _) in enumerate(lines)
    )
    return (
        f'<svg width={width} height={height} style="display:block;margin-top:6px">'
        f"{''.join(drawn)}</svg><div class=legend>{legend}</div>"
    )


def _stack(series: Series) -> Series:
    """Each series on top of those before it, at every time that any of them has."""
    times = sorted({at for _, points in series for at, _ in points})
    below = dict.fromkeys(times, 0.0)
    stacked: Series = []
    for name, points in series:
        own = dict(points)
        below = {at: value + own.get(at, 0.0) for at, value in below.items()}
        stacked.append((name, sorted(below.items())))
    return stacked


def _number(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        if value == 0:
            return "0 s"
        if value >= 86_400:
            return f"{value / 86_400:.3g} d"
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{text}/s" if unit == "ops" else text
