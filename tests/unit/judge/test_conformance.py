"""The libraries judge as the standards say: a subset, to notice when a new version does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soulbox.judge.judge import Judge
from soulbox.judge.verdicts import Outcome, Type
from tests.unit.judge.cel_cases import FAILURES, REFUSALS, RESULTS, WANTED, X
from tests.unit.judge.schema_cases import EVERY

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

VARIABLES = {"x": Type.ANY}


@pytest.mark.parametrize("group", EVERY)
async def test_documents_are_judged_by_the_standard(judge: Judge, group: str) -> None:
    for schema, matching, others in EVERY[group]:
        # As it was published.
        checked = await judge.check_schema(schema, owner="a", field="inputSchema")
        assert checked.good, (schema, checked)
        for want, documents in ((Outcome.GOOD, matching), (Outcome.BAD, others)):
            for document in documents:
                verdict = await judge.validate(
                    document, schema, owner="a", name="input", field="inputSchema"
                )
                assert verdict.outcome is want, (schema, document, verdict)


async def test_cases_are_as_many_as_the_design_asks_for() -> None:
    documents = sum(len(good) + len(bad) for rows in EVERY.values() for _, good, bad in rows)
    assert documents >= 200


async def test_expressions_result_in_what_the_language_says(judge: Judge) -> None:
    for expression, want in RESULTS.items():
        verdict = await judge.evaluate_cel(
            expression, {"x": X}, owner="a", field="when", variables=VARIABLES
        )
        assert verdict.good, (expression, verdict)
        # As JSON text: True is not 1, and 3.5 no 3.
        assert _json(verdict.value) == _json(want), expression


async def test_expressions_fail_with_words(judge: Judge) -> None:
    for expression, says in FAILURES.items():
        verdict = await judge.evaluate_cel(
            expression, {"x": X}, owner="a", field="when", variables=VARIABLES
        )
        assert verdict.outcome is Outcome.BAD, (expression, verdict)
        assert says in verdict.message
        assert verdict.value is None


async def test_expressions_are_refused_before_they_run(judge: Judge) -> None:
    for expression, says in REFUSALS.items():
        verdict = await judge.check_cel(expression, owner="a", field="when", variables=VARIABLES)
        assert verdict.outcome is Outcome.REFUSED, (expression, verdict)
        assert says in verdict.message


async def test_type_of_the_result_is_checked(judge: Judge) -> None:
    for expression, wanted, want in WANTED:
        verdict = await judge.check_cel(
            expression, owner="a", field="when", variables=VARIABLES, result=Type(wanted)
        )
        assert verdict.good is want, (expression, wanted, verdict)
    # What is known only when it runs is looked at then.
    later = await judge.evaluate_cel(
        "x.n", {"x": X}, owner="a", field="when", variables=VARIABLES, result=Type.BOOL
    )
    assert later.outcome is Outcome.BAD
    assert later.message == "when resulted in int, and bool is needed"


async def test_declared_types_hold(judge: Judge) -> None:
    async def ask(value: Any) -> Outcome:
        verdict = await judge.evaluate_cel(
            "n > 1", {"n": value}, owner="a", field="when", variables={"n": Type.INT}
        )
        return verdict.outcome

    assert await ask(2) is Outcome.GOOD
    assert await ask("2") is Outcome.BAD
    verdict = await judge.check_cel(
        "n.startsWith('a')", owner="a", field="when", variables={"n": Type.INT}
    )
    assert verdict.outcome is Outcome.REFUSED


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)
