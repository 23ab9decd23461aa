"""What Node prints of the exception that ended a program (recorded with v20.20.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.execution.decide.traceback import MAX_MESSAGE, MAX_STACK_TRACE_BYTES
from soulbox.kinds.execution.decide.uncaught import parse_uncaught

VERSION = "\nNode.js v20.20.2\n"
FRAMES = """
    at Object.<anonymous> (/workspace/.soulbox-main.js:1:7)
    at Module._compile (node:internal/modules/cjs/loader:1521:14)"""


def thrown(source: str, error: str) -> str:
    """As Node says it of one thrown in the first line."""
    return f"/workspace/.soulbox-main.js:1\n{source}\n      ^\n\n{error}\n{VERSION}"


ERRORS: dict[str, tuple[str, str, str]] = {
    "plain": (
        thrown("throw new TypeError('x')", f"TypeError: x{FRAMES}"),
        "TypeError",
        "x",
    ),
    "message of two lines": (thrown("f()", f"TypeError: x\ny{FRAMES}"), "TypeError", "x\ny"),
    "no message": (thrown("f()", f"Error{FRAMES}"), "Error", ""),
    "a class of one's own": (thrown("f()", f"MyErr [Error]: cust{FRAMES}"), "MyErr", "cust"),
    "a code": (
        thrown("f()", f"RangeError [ERR_OUT_OF_RANGE]: far{FRAMES} {{\n  code: 'ERR'\n}}"),
        "RangeError",
        "far",
    ),
    "a cause": (
        thrown("f()", f"Error: outer{FRAMES} {{\n  [cause]: Error: inner\n      at x (y:1:2)\n}}"),
        "Error",
        "outer",
    ),
    "of Node itself": (
        "node:fs:573\n  return binding.open(\n                 ^\n\n"
        f"Error: ENOENT: no such file or directory, open '/nope'{FRAMES}\n{VERSION}",
        "Error",
        "ENOENT: no such file or directory, open '/nope'",
    ),
    "a value that is no error": (
        "\n/workspace/.soulbox-main.js:1\nthrow 'str'\n^\nstr\n(Use `node --trace-uncaught ...` to"
        f" show where the exception was thrown)\n{VERSION}",
        "Uncaught",
        "str",
    ),
    "after others that were logged": (
        f"Error: logged{FRAMES}\n" + thrown("f()", f"RangeError: real{FRAMES}"),
        "RangeError",
        "real",
    ),
    "before a last word": (thrown("f()", f"Error: x{FRAMES}\nbye"), "Error", "x"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_that_ended_a_program_in_node(name: str) -> None:
    stderr, want_type, want_message = ERRORS[name]
    found = parse_uncaught(stderr, 1)
    assert found is not None
    assert (found.type, found.message) == (want_type, want_message)
    assert "logged" not in found.stack_trace
    assert "Node.js v" not in found.stack_trace
    assert ":1\n" in found.stack_trace or "node:fs:573\n" in found.stack_trace


def test_what_node_did_not_die_of_is_no_error_of_the_program() -> None:
    logged = f"Error: logged{FRAMES}\n"
    assert parse_uncaught(logged, 1) is None
    assert parse_uncaught(f"{logged}{VERSION}", 1) is None
    assert parse_uncaught(ERRORS["plain"][0], 3) is None
    assert parse_uncaught(VERSION, 1) is None
    assert parse_uncaught(thrown("f()", "?? no name"), 1) is None


def test_python_comes_through() -> None:
    stderr = "Traceback (most recent call last):\n  File\nValueError: x\n"
    found = parse_uncaught(stderr, 1)
    assert found is not None
    assert found.type == "ValueError"


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["x:1", "^", "  ^^", "", "Error: x", "    at f (x:1:2)", "(Use `node"]),
            st.text(),
        ),
        max_size=12,
    )
)
def test_whatever_stands_above_the_version_is_bounded(lines: list[str]) -> None:
    found = parse_uncaught("\n".join(lines) + "\n" + "y" * 9_000 + VERSION, 1)
    if found is not None:
        assert 1 <= len(found.type) <= 256
        assert len(found.message) <= MAX_MESSAGE
        assert len(found.stack_trace.encode()) <= MAX_STACK_TRACE_BYTES
