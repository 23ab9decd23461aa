"""The preview's drawing: what it shows is what Prometheus answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hack.dashboard import drawing
from hack.dashboard.preview import DASHBOARD, evaluate

SPAN = (0.0, 10.0)


def panel(kind: str) -> dict[str, Any]:
    """The first panel of that type of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found: dict[str, Any] = next(one for one in panels if one["type"] == kind)
    return found


class Answers:
    """A Prometheus that always answers the same, and notes what it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, object]]] = []

    def ask(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        self.asked.append((path, parameters))
        return self.answers


def test_series_are_stacked_where_each_has_a_point() -> None:
    stacked = drawing._stack([("a", [(1.0, 2.0), (2.0, 3.0)]), ("b", [(2.0, 4.0)])])
    assert stacked == [("a", [(1.0, 2.0), (2.0, 3.0)]), ("b", [(1.0, 2.0), (2.0, 7.0)])]


NUMBERS = {
    (0.752, "percentunit"): "75.2%",
    (0.0, "s"): "0 s",
    (0.0043, "s"): "4.3 ms",
    (61.0, "s"): "61 s",
    (3_024_000.0, "s"): "35 d",
    (12_345.0, "short"): "12,345",
    (2.5, "ops"): "2.5/s",
}


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_have_their_unit(number: tuple[float, str]) -> None:
    assert drawing._number(*number) == NUMBERS[number]


def test_chart_without_points_says_so() -> None:
    page, _ = drawing.draw_page("t", "about", [(panel("timeseries"), [])], SPAN)
    assert "No data" in page


def test_stat_takes_the_color_and_word_of_its_value() -> None:
    stat = panel("stat")
    page, _ = drawing.draw_page("t", "about", [(stat, [("", [(1.0, 0.0)])])], SPAN)
    assert "takes rows" in page
    assert "#73bf69" in page
    page, _ = drawing.draw_page("t", "about", [(stat, [("", [(1.0, 1.0)])])], SPAN)
    assert "away" in page
    assert "#e02f44" in page


def test_names_of_series_are_text_and_no_markup() -> None:
    series = [("<script>", [(1.0, 2.0)])]
    page, _ = drawing.draw_page("t", "about", [(panel("timeseries"), series)], SPAN)
    assert "<script>" not in page


def test_queries_are_asked_with_the_variables_filled_in() -> None:
    answers = Answers({"metric": {"state": "Failed"}, "values": [[1, "2"], [2, "NaN"]]})
    series = evaluate(answers, panel("timeseries"), *SPAN)  # type: ignore[arg-type]
    assert series == [("Failed", [(1.0, 2.0)])]
    ((path, parameters),) = answers.asked
    assert path == "query_range"
    assert "$" not in str(parameters["query"])
