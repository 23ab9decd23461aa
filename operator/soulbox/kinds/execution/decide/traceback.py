"""A Python traceback in stderr, as the `error` of an Execution.

The text is the sandboxed program's own: it is bounded, matched by line and never
trusted for more than display.

Not every traceback tells what a program died of. An uncaught exception gives exit code 1
and is printed at the end; what a thread, a task nobody waited for, a finaliser or a logged
`except` block prints is passed over. What is left of doubt (a program that logs an
exception as its last words and then leaves with code 1) cannot be told from the text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_STACK_TRACE_BYTES: Final = 16_384
MAX_MESSAGE: Final = 4_096
# The exit code Python gives an uncaught exception; SystemExit chooses its own.
UNCAUGHT_EXIT_CODE: Final = 1
_HEADER: Final = "Traceback (most recent call last):"
# Of an exception group nobody caught. Those of its members are indented further.
_GROUP_HEADER: Final = "  + Exception Group Traceback (most recent call last):"
_GROUP_MARGIN: Final = "  | "
# "ValueError: text", "package.module.Error", "KeyboardInterrupt"; dotted names as
# traceback.format_exception_only prints them.
_FINAL_LINE: Final = re.compile(r"^([A-Za-z_](?:[\w.<>]{0,254}[\w<>])?)(?::\s?(.*))?$")
# Above a traceback that ended something else than the program: sys.unraisablehook,
# threading.excepthook, asyncio's default handler, multiprocessing, tkinter, unittest.
_ASIDE: Final = re.compile(
    r"^Exception ignored |^Exception in (?:thread|callback|default|Tkinter) ?"
    r"|exception was never retrieved$|[Uu]nhandled exception (?:in|during) "
    r"|^(?:\w+:\w*:)?[Ee]xception in callback |^Error in atexit"
    r"|^exception calling callback |^Process [\w:-]+:$|^-{40,}$"
)
# What asyncio says between such a line and the traceback.
_ASIDE_DETAIL: Final = re.compile(
    r"^(?:asyncgen|future|handle|handle_traceback|protocol|server|socket|source_traceback"
    r"|task|transport): |^  "
)
# Not part of an exception's message: warnings of the interpreter's own shutdown.
_WARNING: Final = re.compile(r"^\S+:\d+: \w*Warning: ")
# A line by which the program shows that it lived on: logging's own format, or a time.
_LOGGED: Final = re.compile(
    r"^(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[\w.]*:|\[?\d{4}-\d\d-\d\d[ T]\d\d:\d\d)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramError:
    """What a program died of. `type` is the exception's class name."""

    type: str
    message: str
    stack_trace: str  # "" when there is none; at most 16 KiB of UTF-8

    @property
    def summary(self) -> str:
        """One line: type and the first line of the message."""
        first = self.message.split("\n", 1)[0].strip()
        return f"{self.type}: {first}" if first else self.type


def parse_traceback(stderr: str, exit_code: int = UNCAUGHT_EXIT_CODE) -> ProgramError | None:
    """The traceback of the exception that ended the program, None if none did.

    Args:
        stderr: what the program wrote, or the end of it.
        exit_code: the program's. Only UNCAUGHT_EXIT_CODE is what an exception gives.

    For chained exceptions the last is the one that ended the program; the stack trace
    begins at the first of the chain.
    """
    if exit_code != UNCAUGHT_EXIT_CODE:
        return None
    lines = stderr.rstrip().split("\n")
    seen, end = False, len(lines)
    for header, start in _chains(lines):
        seen = True
        aside = _aside_above(lines, start)
        if aside is None:
            return _error(lines[:end], header, start)
        end = aside
    return None if seen else _syntax_error(lines)


def _chains(lines: list[str]) -> Iterator[tuple[int, int]]:
    """The last header of each chain and where the chain begins, the last chain first."""
    below = len(lines)
    while (header := _header_above(lines, below)) is not None:
        start = _chain_start(lines, header)
        yield header, start
        below = start


def _header_above(lines: list[str], below: int) -> int | None:
    return next((i for i in range(below - 1, -1, -1) if _is_header(lines[i])), None)


def _is_header(line: str) -> bool:
    # A progress bar may stand before it in its line.
    return line == _GROUP_HEADER or (line.endswith(_HEADER) and line[:1] not in (" ", "\t"))


def _chain_start(lines: list[str], header: int) -> int:
    """Where the chain that ends in this traceback begins: headers joined to it by Python's
    own sentences about causes."""
    start = header
    while (above := _header_above(lines, start)) is not None:
        between = "\n".join(lines[above:start])
        if (
            "direct cause of the following exception" not in between
            and "another exception occurred" not in between
        ):
            break
        start = above
    return start


def _aside_above(lines: list[str], start: int) -> int | None:
    """The line above a chain that says that it did not end the program; None for none."""
    index = start - 1
    # No detail is a header: so each line is passed over once, however many headers there are.
    while index > 0 and _ASIDE_DETAIL.match(lines[index]) and not _is_header(lines[index]):
        index -= 1
    return index if index >= 0 and _ASIDE.search(lines[index]) else None


def _error(lines: list[str], header: int, start: int) -> ProgramError | None:
    grouped = lines[header] == _GROUP_HEADER
    final = _final_line(lines, header, _GROUP_MARGIN if grouped else "")
    if final is None:
        return None
    index, name, text = final
    rest = lines[index + 1 :]
    end = next((i for i, line in enumerate(rest) if _WARNING.match(line)), len(rest))
    rest = rest[:end]
    if any(_LOGGED.match(line) for line in rest):
        return None
    if grouped:
        own = next((i for i, line in enumerate(rest) if line[:4] != _GROUP_MARGIN), len(rest))
        more = [line[4:] for line in rest[:own]]
    else:
        more = rest
    return ProgramError(
        type=name.rsplit(".", 1)[-1][:256],
        message="\n".join([text, *more]).rstrip()[:MAX_MESSAGE],
        stack_trace=cut_trace(_from_header("\n".join(lines[start : index + 1 + len(rest)]))),
    )


def _from_header(trace: str) -> str:
    """Without what stood before the header in its line."""
    return trace if trace.startswith(_GROUP_HEADER) else trace[trace.index(_HEADER) :]


def _final_line(lines: list[str], header: int, margin: str) -> tuple[int, str, str] | None:
    """The first line below the header that is not indented: the exception itself."""
    for index in range(header + 1, len(lines)):
        line = lines[index]
        if not line.startswith(margin):
            return None
        line = line[len(margin) :]
        if line[:1] in (" ", "\t", "") or line.startswith("["):
            continue
        match = _FINAL_LINE.match(line)
        return (index, match[1], match[2] or "") if match else None
    return None


def _syntax_error(lines: list[str]) -> ProgramError | None:
    """Errors found before running have no header: `  File …, line 1` and the error itself."""
    match = re.match(r"^(SyntaxError|IndentationError|TabError): (.*)$", lines[-1])
    if match is None:
        return None
    start = next(
        (i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith('  File "')),
        len(lines) - 1,
    )
    return ProgramError(
        type=match[1],
        message=match[2][:MAX_MESSAGE],
        stack_trace=cut_trace("\n".join(lines[start:])),
    )


def cut_trace(text: str) -> str:
    """A stack trace of at most 16 KiB of UTF-8; the end, where the error is, is what is kept."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_STACK_TRACE_BYTES:
        return raw.decode("utf-8")
    return raw[-MAX_STACK_TRACE_BYTES:].decode("utf-8", "ignore")
