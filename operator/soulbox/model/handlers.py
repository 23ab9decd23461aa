"""Handlers: a function of the code that is called with the input, and returns the result.

What calls it is a program of the runner's (runner/internal/handler), one for each of the languages
here, which the class's interpreter runs in the place of the code.
"""

import re
from dataclasses import dataclass
from typing import Final

from soulbox.model.specs import Interpreter
from soulbox.model.states import HandlerLanguage

# What the runner takes as its name.
HANDLER_NAME_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_PROGRAMS: Final = (
    (re.compile(r"^(?:python|pypy)(?:\d+(?:\.\d+)?)?$"), HandlerLanguage.PYTHON),
    (re.compile(r"^node(?:js)?$"), HandlerLanguage.NODE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """The function to be called."""

    name: str  # HANDLER_NAME_PATTERN
    language: HandlerLanguage


def handler_language(interpreter: Interpreter) -> HandlerLanguage | None:
    """What calls handlers under that interpreter; None: nothing of ours can.

    A class may call its languages anything: the program says what it is.
    """
    # The first that is known, for `env python3` and `nice node`.
    for word in interpreter.command:
        for name, language in _PROGRAMS:
            if name.match(word.rpartition("/")[2]):
                return language
    return None
