"""What can call a handler."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from soulbox.model.handlers import HANDLER_NAME_PATTERN, handler_language
from soulbox.model.specs import Interpreter
from soulbox.model.states import HandlerLanguage


@pytest.mark.parametrize(
    ("command", "want"),
    [
        ("python3", HandlerLanguage.PYTHON),
        ("/opt/venv/bin/python -I", HandlerLanguage.PYTHON),
        ("python3.12", HandlerLanguage.PYTHON),
        ("pypy3", HandlerLanguage.PYTHON),
        ("env python3 -u", HandlerLanguage.PYTHON),
        ("node", HandlerLanguage.NODE),
        ("/usr/bin/nodejs --no-warnings", HandlerLanguage.NODE),
        ("bash", None),
        ("pythonista", None),
        ("python3-config", None),
        ("ruby", None),
    ],
)
def test_the_interpreter_s_program_says_what_calls_handlers(
    command: str, want: HandlerLanguage | None
) -> None:
    assert handler_language(Interpreter(command=tuple(command.split()), extension=".x")) is want


def test_names_of_handlers() -> None:
    for name in ("main", "_a1", "A" * 128):
        assert re.fullmatch(HANDLER_NAME_PATTERN, name)
    for name in ("", "1a", "a-b", "a.b", "größe", "a b", "$a", "A" * 129):
        assert not re.fullmatch(HANDLER_NAME_PATTERN, name)


def test_what_calls_python_s_handlers_is_in_the_language_of_python_3_8() -> None:
    source = Path(__file__).parents[3] / "runner/internal/handler/call.py"
    ast.parse(source.read_bytes(), feature_version=(3, 8))
