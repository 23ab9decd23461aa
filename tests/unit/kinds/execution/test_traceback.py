"""Python's tracebacks, real ones and whatever else a program may print."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.execution.decide.traceback import (
    MAX_MESSAGE,
    MAX_STACK_TRACE_BYTES,
    parse_traceback,
)

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
        "  + Exception Group Traceback (most recent call last):",
        "  | ExceptionGroup: batch (2 sub-exceptions)",
        "  +-+---------------- 1 ----------------",
        "Exception ignored in: <function C.__del__ at 0x7f>",
        "Exception in thread Thread-1 (f):",
        "future: <Task finished name='Task-1'>",
        "WARNING:root:going on",
        "sys:1: ResourceWarning: unclosed file",
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


def stderr_of(code: str, want_exit_code: int = 1) -> str:
    """What the Python that runs the tests prints for a program."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == want_exit_code
    return done.stderr.decode()


GROUP = "raise ExceptionGroup('batch', [ValueError('a'), KeyError('b')])"
TASK_GROUP = """import asyncio
async def fail(): raise ValueError('boom')
async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
asyncio.run(main())
"""
# Each prints a traceback of its own and lives on.
FINALISER = "class C:\n def __del__(self): self.gone.close()\nkeep = C()\n"
THREAD = "import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()\n"
TASK = """import asyncio, gc
async def fail(): raise ZeroDivisionError('task')
async def main():
    asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
asyncio.run(main())
gc.collect()
"""
CALLBACK = """import asyncio
async def main():
    asyncio.get_running_loop().call_soon(lambda: 1/0)
    await asyncio.sleep(0)
asyncio.run(main(), debug=True)
"""
POOL = "import multiprocessing\np = multiprocessing.Process(target=int, args='x')\n"
LOGGED = (
    "import logging\ntry: 1/0\nexcept Exception: logging.exception('skipped')\n"
    "logging.warning('no rows')\n"
)


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
        (GROUP, "ExceptionGroup", "batch (2 sub-exceptions)", "KeyError: 'b'"),
        (f"try:\n 1/0\nexcept Exception:\n {GROUP}", "ExceptionGroup", "batch", "ZeroDivision"),
        (
            f"try:\n {GROUP}\nexcept Exception:\n raise OSError('o')",
            "OSError",
            "o",
            "Exception Group Traceback",
        ),
        (TASK_GROUP, "ExceptionGroup", "unhandled errors in a TaskGroup (1 sub-exc", "boom"),
        (
            "import sys\nsys.stderr.write('\\r 10%|# | 1/9')\nraise ValueError('bar')",
            "ValueError",
            "bar",
            HEADER,
        ),
        (f"{FINALISER}raise ValueError('real')", "ValueError", "real", HEADER),
        (f"{THREAD}raise ValueError('real')", "ValueError", "real", HEADER),
        (f"{TASK}raise ValueError('real')", "ValueError", "real", HEADER),
        (f"{LOGGED}raise ValueError('real')", "ValueError", "real", HEADER),
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
        "group",
        "group in a chain",
        "group as a cause",
        "task group",
        "progress bar before it",
        "finaliser after it",
        "thread before it",
        "task before it",
        "logged exception before it",
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
    if want_message == "real":
        for other in ("AttributeError", "ZeroDivisionError", "ignored", "retrieved"):
            assert other not in found.stack_trace + found.message


LIVED_ON = {
    "a finaliser": FINALISER,
    "a thread": THREAD,
    "a task that nobody waited for": TASK,
    "a callback of asyncio": CALLBACK,
    "another process": f"{POOL}p.start(); p.join()\n",
    "a logged exception": LOGGED,
    "a test that failed": (
        "import unittest\nclass T(unittest.TestCase):\n def test(self): self.fail('no')\n"
        "unittest.main()\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVED_ON)
def test_program_that_leaves_by_itself_did_not_die_of_the_exception_of(name: str) -> None:
    stderr = stderr_of(f"{LIVED_ON[name]}\nimport sys; sys.exit(1)")
    assert HEADER in stderr
    assert parse_traceback(stderr) is None


@pytest.mark.slow
def test_exit_code_that_no_exception_gives_tells_that_none_ended_the_program() -> None:
    code = "import sys, traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()\n"
    assert parse_traceback(stderr_of(code + "sys.exit(3)", 3), 3) is None


def test_summary_is_type_and_first_line() -> None:
    found = parse_traceback(f"{HEADER}\n  File\na.ValueError: one\ntwo\nnote 1")
    assert found is not None
    assert found.summary == "ValueError: one"
    found = parse_traceback(f"{HEADER}\n  File\nKeyboardInterrupt")
    assert found is not None
    assert found.summary == "KeyboardInterrupt"


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
