"""Python's tracebacks, real ones and whatever else a program may print."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.decide.traceback import MAX_MESSAGE, MAX_STACK_TRACE_BYTES, parse_traceback

HEADER = "Traceback (most recent call last):"

# Lines of real and of broken tracebacks, in any order.
PARTS = st.sampled_from(
    [
        HEADER,
        f"  {HEADER}",
        '  File "/workspace/main.py", line 1, in <module>',
        "    raise ValueError('x')",
        "    ~~^~~",
        "ValueError: x",
        "a.b.C: d",
        "C",
        "Foo.: bar",
        "[... 996 more lines ...]",
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
        "SyntaxError: invalid syntax",
        "TabError: x",
        "",
        "\t",
        "\ufffd\0\x1b[31m",
    ]
)
TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(), max_size=200).map(lambda text: f"{HEADER}\n{text}"),
    st.lists(PARTS, max_size=30).map("\n".join),
    st.lists(st.one_of(PARTS, st.text()), max_size=30).map("\n".join),
)


@given(TEXTS)
def test_arbitrary_text_never_raises_and_what_is_found_is_bounded(text: str) -> None:
    found = parse_traceback(text)
    if found is None:
        return
    assert 1 <= len(found.type) <= 256
    assert len(found.message) <= MAX_MESSAGE
    assert len(found.stack_trace.encode()) <= MAX_STACK_TRACE_BYTES


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n" + "\n".join(f"{HEADER}" for _ in range(5000)),
        f"{HEADER}\n" + "  x\n" * 20_000 + "E: " + "y" * 100_000,
        f"{HEADER}\n{'a.' * 200_000}: x",
        f"{HEADER}\nE: " + "ä" * 60_000,
    ],
    ids=["headers", "frames", "name", "message"],
)
def test_large_text_is_bounded(text: str) -> None:
    found = parse_traceback(text)
    if found is not None:
        assert len(found.stack_trace.encode()) <= MAX_STACK_TRACE_BYTES
        assert len(found.message) <= MAX_MESSAGE


def stderr_of(code: str) -> str:
    """What the Python that runs the tests prints for a program."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "want_type", "want_message", "want_in_trace"),
    [
        ("raise ValueError('bad')", "ValueError", "bad", HEADER),
        ("import json; json.loads('{')", "JSONDecodeError", "Expecting property name", "json"),
        ("raise ValueError('one\\ntwo')", "ValueError", "one\ntwo", "two"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "", HEADER),
        (
            "try:\n 1/0\nexcept Exception as e:\n raise OSError('o') from e",
            "OSError",
            "o",
            "ZeroDivisionError",
        ),
        ("try:\n 1/0\nexcept Exception:\n {}['k']", "KeyError", "'k'", "ZeroDivisionError"),
        ("def f(): f()\nf()", "RecursionError", "maximum recursion", "more times]"),
        ("x = (", "SyntaxError", "'(' was never closed", 'File "<string>"'),
        ("if 1:\nx", "IndentationError", "expected an indented block", 'File "<string>"'),
    ],
    ids=[
        "plain",
        "dotted name",
        "message of two lines",
        "no message",
        "explicit chain",
        "implicit chain",
        "repeated frames",
        "syntax",
        "indentation",
    ],
)
def test_real_traceback(code: str, want_type: str, want_message: str, want_in_trace: str) -> None:
    if want_type == "KeyboardInterrupt":
        stderr = f'{HEADER}\n  File "x", line 1, in <module>\nKeyboardInterrupt\n'
    else:
        stderr = stderr_of(code)
    found = parse_traceback("noise before\n" + stderr)
    assert found is not None
    assert found.type == want_type
    assert found.message.startswith(want_message)
    assert want_in_trace in found.stack_trace
    assert "noise before" not in found.stack_trace


NOT_ONE = {
    "nothing": "",
    "plain words": "Killed\n",
    "a header and nothing else": HEADER,
    "a header and frames only": f'{HEADER}\n  File "x", line 1\n    y\n',
    "a header and a line that names no exception": f'{HEADER}\n  File "x", line 1\n!!! oops',
    "a name that ends in a dot": f"{HEADER}\nFoo.: bar",
    "an error's name somewhere above": "SyntaxError: x\nand more",
}


@pytest.mark.parametrize("name", NOT_ONE)
def test_text_that_ends_with_no_traceback(name: str) -> None:
    assert parse_traceback(NOT_ONE[name]) is None


def test_two_tracebacks_that_are_not_chained_show_the_last_only() -> None:
    one = f'{HEADER}\n  File "x", line 1\nValueError: one\n'
    two = f'{HEADER}\n  File "x", line 2\nOSError: two\n'
    found = parse_traceback(f"{one}logged, going on\n{two}")
    assert found is not None
    assert (found.type, found.message) == ("OSError", "two")
    assert "ValueError" not in found.stack_trace


def test_syntax_error_without_its_file_line_still_has_its_words() -> None:
    found = parse_traceback("SyntaxError: invalid syntax")
    assert found is not None
    assert found.stack_trace == "SyntaxError: invalid syntax"


def test_long_trace_keeps_its_end_where_the_error_is() -> None:
    frames = '  File "x", line 1\n' * 5000
    found = parse_traceback(f"{HEADER}\n{frames}ValueError: at the end")
    assert found is not None
    assert found.stack_trace.endswith("ValueError: at the end")
