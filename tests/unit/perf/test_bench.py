"""How the bench counts: quantiles, goals, the operator's own share from the audit log."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.perf.audit import OPERATOR, AuditLog, Entry
from tests.perf.bench_sandbox import own_seconds
from tests.perf.figures import Figure, Report, quantile

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(("share", "want"), [(0.5, 5), (0.9, 9), (0.99, 10), (1.0, 10), (0.01, 1)])
def test_quantile_is_the_nearest_rank(share: float, want: float) -> None:
    assert quantile([10, 1, 9, 2, 8, 3, 7, 4, 6, 5], share) == want


VERDICTS = {
    "at most, met": (Figure(section="s", name="n", value=1.1, goal=1.1), "<= 1.10", "met"),
    "at most, missed": (Figure(section="s", name="n", value=1.2, goal=1.1), "<= 1.10", "NOT MET"),
    "at least, met": (
        Figure(section="s", name="n", value=60, goal=60, at_least=True), ">= 60", "met",
    ),
    "at least, missed": (
        Figure(section="s", name="n", value=59.9, goal=60, at_least=True), ">= 60", "NOT MET",
    ),
    "only told": (Figure(section="s", name="n", value=1), "", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", VERDICTS)
def test_goal_is_judged_in_its_direction(name: str) -> None:
    figure, goal, verdict = VERDICTS[name]
    assert (figure.goal_text, figure.verdict) == (goal, verdict)


def test_report_shows_each_figure_and_keeps_all(tmp_path: Path) -> None:
    said: list[str] = []
    report = Report(said.append)
    report.add(Figure(section="idle", name="memory", value=97.3, unit="MiB", goal=140))
    assert said == ["    memory: 97.3 MiB   goal <= 140: met"]
    assert "idle" in report.table()
    report.write(tmp_path / "figures.json")
    (row,) = json.loads((tmp_path / "figures.json").read_text())
    assert (row["value"], row["verdict"]) == (97.3, "met")


def entry(user: str, what: str, name: str, received: float, took: float = 0.0) -> Entry:
    """A call, its times in milliseconds."""
    at = START + timedelta(milliseconds=received)
    return Entry(
        user=user,
        what=what,
        namespace="ns",
        name=name,
        code=200,
        received=at,
        done=at + timedelta(milliseconds=took),
    )


LIFE = [
    entry("admin", "create sandboxes", "box", 0, 4),
    entry(OPERATOR, "patch sandboxes", "box", 6, 3),
    entry(OPERATOR, "create pods", "pod", 10, 5),
    entry("system:node:n", "patch pods/status", "pod", 400, 5),
    entry(OPERATOR, "patch sandboxes/status", "box", 600, 4),  # Starting
    entry("system:node:n", "patch pods/status", "pod", 900, 6),
    entry(OPERATOR, "patch sandboxes/status", "box", 912, 4),
]


def test_own_share_is_before_the_pod_and_after_its_last_report() -> None:
    before, after = own_seconds(LIFE, "box", "pod") or (0, 0)
    assert before == pytest.approx(0.015)
    assert after == pytest.approx(0.010)


@pytest.mark.parametrize("missing", [0, 2, 6])
def test_own_share_of_half_a_life_is_none(missing: int) -> None:
    entries = [one for number, one in enumerate(LIFE) if number not in (missing, 4)]
    assert own_seconds(entries, "box", "pod") is None


def line(user: str, verb: str, resource: str, name: str, stage: str = "ResponseComplete") -> Any:
    """One line of an audit log."""
    return json.dumps(
        {
            "stage": stage,
            "verb": verb,
            "user": {"username": user},
            "objectRef": {"resource": resource, "namespace": "ns", "name": name},
            "responseStatus": {"code": 200},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000000Z",
            "stageTimestamp": "2026-01-02T03:04:05.004000Z",
        }
    )


def test_audit_counts_the_operator_s_writes_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(line(OPERATOR, "create", "pods", "before") + "\n")
    audit = AuditLog(path)
    with path.open("a") as log:
        for text in (
            line(OPERATOR, "create", "pods", "pod"),
            line(OPERATOR, "get", "pods", "pod"),
            line("somebody", "create", "pods", "pod"),
            line(OPERATOR, "patch", "sandboxes", "box"),
            line(OPERATOR, "watch", "pods", "", stage="ResponseStarted"),
        ):
            log.write(text + "\n")
        log.write(line(OPERATOR, "create", "pods", "half")[:40])  # being written
    assert audit.operator_writes() == {"create pods": 1, "patch sandboxes": 1}
    assert audit.operator_writes("box") == {"patch sandboxes": 1}
