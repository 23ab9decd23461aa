"""A Python traceback in stderr, as the `error` of an Execution.

The text is the sandboxed program's own: it is bounded, matched by line and never
trusted for more than display.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_STACK_TRACE_BYTES: Final = 16_384
MAX_MESSAGE: Final = 4_096
_HEADER: Final = "Traceback (most recent call last):"
# "ValueError: text", "package.module.Error", "KeyboardInterrupt"; dotted names as
# traceback.format_exception_only prints them.
_FINAL_LINE: Final = re.compile(r"^([A-Za-z_](?:[\w.<>]{0,254}[\w<>])?)(?::\s?(.*))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramError:
    """What a program died of. `type` is the exception's class name."""

    type: str
    message: str
    stack_trace: str  # "" when there is none; at most 16 KiB of UTF-8


def parse_traceback(stderr: str) -> ProgramError | None:
    """The last traceback that stderr ends with, None if it does not end with one.

    For chained exceptions the last is the one that ended the program; the stack trace
    begins at the first of the chain.
    """
    lines = stderr.rstrip().split("\n")
    last_header = next(
        (i for i in range(len(lines) - 1, -1, -1) if lines[i].strip() == _HEADER), None
    )
    if last_header is None:
        return _syntax_error(lines)
    final = _final_line(lines, last_header)
    if final is None:
        return None
    index, name, text = final
    start = _chain_start(lines, last_header)
    message = "\n".join([text, *lines[index + 1 :]]).rstrip()
    return ProgramError(
        type=name.rsplit(".", 1)[-1][:256],
        message=message[:MAX_MESSAGE],
        stack_trace=_cut("\n".join(lines[start:])),
    )


def _final_line(lines: list[str], header: int) -> tuple[int, str, str] | None:
    """The first line below the header that is not indented: the exception itself."""
    for index in range(header + 1, len(lines)):
        line = lines[index]
        if line[:1] in (" ", "\t", "") or line.startswith("["):
            continue
        match = _FINAL_LINE.match(line)
        return (index, match[1], match[2] or "") if match else None
    return None


def _chain_start(lines: list[str], header: int) -> int:
    """Where the chain that ends in this traceback begins: headers joined to it by Python's
    own sentences about causes."""
    start = header
    for index in range(header - 1, -1, -1):
        if lines[index].strip() == _HEADER:
            between = "\n".join(lines[index:start])
            if (
                "direct cause of the following exception" not in between
                and "another exception occurred" not in between
            ):
                break
            start = index
    return start


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
        stack_trace=_cut("\n".join(lines[start:])),
    )


def _cut(text: str) -> str:
    """At most 16 KiB of UTF-8; the end, where the error is, is what is kept."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_STACK_TRACE_BYTES:
        return raw.decode("utf-8")
    return raw[-MAX_STACK_TRACE_BYTES:].decode("utf-8", "ignore")
