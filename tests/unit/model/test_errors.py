"""Errors: each on its side of the split, with the facts that its catcher needs."""

from __future__ import annotations

import inspect

import pytest

from soulbox.model import errors
from soulbox.model.errors import ConfigError, Retryable, SoulBoxError, Terminal
from soulbox.model.states import ExecutionState

EVERY = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, SoulBoxError) and error is not SoulBoxError
]


@pytest.mark.parametrize("error", EVERY)
def test_error_is_on_exactly_one_side(error: type[SoulBoxError]) -> None:
    assert sum(issubclass(error, side) for side in (Retryable, Terminal, ConfigError)) == 1


def test_delay_is_the_caller_s_own_unless_told() -> None:
    assert Retryable("later").delay_seconds is None
    assert errors.KubeUnavailable("later", status=429, delay_seconds=7).delay_seconds == 7


def test_refusals_carry_what_was_said() -> None:
    refused = errors.KubeRefused(403, "Forbidden", "no", frozenset({"NamespaceTerminating"}))
    assert str(refused) == "API server refused (403 Forbidden): no"
    assert refused.causes == {"NamespaceTerminating"}
    runner = errors.RunnerRefused(429, "Busy", "wait")
    assert (runner.status, runner.code, str(runner)) == (
        429,
        "Busy",
        "runner refused (429 Busy): wait",
    )


def test_invalid_manifest_names_field_problem_and_remedy() -> None:
    error = errors.InvalidManifest("spec.code", "is too long", "shorten it")
    assert str(error) == "spec.code: is too long; shorten it"
    assert (error.field, error.problem, error.remedy) == ("spec.code", "is too long", "shorten it")


def test_final_states_are_those_nothing_follows() -> None:
    assert {state for state in ExecutionState if not state.is_final} == {
        ExecutionState.QUEUED,
        ExecutionState.RUNNING,
    }
