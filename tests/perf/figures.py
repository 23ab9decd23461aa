"""Figures with their goals, and the table and the JSON they become."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row. Goals are information: nothing fails by them.

    Attributes:
        goal: the most (or, with `at_least`, the least) that is aimed at; None: only told.
        note: what the figure stands beside, or where it comes from.
    """

    section: str
    name: str
    value: float
    unit: str = ""
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in a word."""
        if self.goal is None:
            return ""
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        return "met" if met else "NOT MET"

    @property
    def goal_text(self) -> str:
        """The goal, with its direction."""
        if self.goal is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {_number(self.goal)}"


@dataclass(slots=True)
class Report:
    """What was measured so far; `say` shows progress as it goes."""

    say: Callable[[str], None]
    figures: list[Figure] = field(default_factory=list)

    def add(self, *figures: Figure) -> None:
        """Take figures and show them at once."""
        self.figures += figures
        for figure in figures:
            goal = f"   goal {figure.goal_text}: {figure.verdict}" if figure.goal_text else ""
            note = f"   ({figure.note})" if figure.note else ""
            self.say(f"    {figure.name}: {_number(figure.value)} {figure.unit}{goal}{note}")

    def table(self) -> str:
        """All of it, aligned."""
        rows = [("", "figure", "value", "unit", "goal", "", "beside it")]
        rows += [
            (f.section, f.name, _number(f.value), f.unit, f.goal_text, f.verdict, f.note)
            for f in self.figures
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(7)]
        lines = []
        section = ""
        for row in rows:
            first = "" if row[0] == section else row[0]
            section = row[0]
            cells = [first, *row[1:]]
            text = "  ".join(
                cell.rjust(width) if column == 2 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            lines.append(text.rstrip())
        lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """As JSON: a list of figures."""
        rows = [{**asdict(figure), "verdict": figure.verdict} for figure in self.figures]
        path.write_text(json.dumps(rows, indent=2) + "\n")


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(section: str, name: str, seconds: Sequence[float]) -> tuple[Figure, Figure]:
    """p50 and p90 of durations, in milliseconds."""
    note = f"n = {len(seconds)}"
    return (
        Figure(
            section=section,
            name=f"{name}, p50",
            value=1000 * statistics.median(seconds),
            unit="ms",
            note=note,
        ),
        Figure(
            section=section,
            name=f"{name}, p90",
            value=1000 * quantile(seconds, 0.9),
            unit="ms",
            note=note,
        ),
    )


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
