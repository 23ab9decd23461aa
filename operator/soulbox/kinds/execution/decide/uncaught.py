"""The exception that ended a program, in Python or in Node, as it stands in stderr.

Other interpreters' last line says what went wrong; these two end with a line that does not
(Node's is its version, the same for every error).
"""

import re
from typing import Final

from soulbox.kinds.execution.decide.traceback import (
    MAX_MESSAGE,
    UNCAUGHT_EXIT_CODE,
    ProgramError,
    cut_trace,
    parse_traceback,
)

_NODE_VERSION: Final = re.compile(r"^Node\.js v\d")
# Where it was thrown, the line of the source, and carets below it.
_NODE_PLACE: Final = re.compile(r"^\S.*:\d+$")
_NODE_CARETS: Final = re.compile(r"^\s*\^+$")
# "TypeError: text", "Error [ERR_ABORTED]: text", "MyError [Error]"
_NODE_ERROR: Final = re.compile(r"^([A-Za-z_$][\w$.]{0,255})(?: \[[\w $]{1,255}\])?(?:: ?(.*))?$")
_NODE_FRAME: Final = "    at "
# Of a thrown value that is no Error; Node says below it how to learn more.
_NODE_OTHER_VALUE: Final = "(Use `node --trace-uncaught"


def parse_uncaught(stderr: str, exit_code: int) -> ProgramError | None:
    """What the program died of, None if no exception ended it or none is found."""
    return parse_traceback(stderr, exit_code) or _parse_node(stderr, exit_code)


def _parse_node(stderr: str, exit_code: int) -> ProgramError | None:
    lines = stderr.rstrip().split("\n")
    if exit_code != UNCAUGHT_EXIT_CODE or not _NODE_VERSION.match(lines.pop()):
        return None
    start = next(
        (
            index
            for index in range(len(lines) - 4, -1, -1)
            if _NODE_CARETS.match(lines[index + 2]) and _NODE_PLACE.match(lines[index])
        ),
        None,
    )
    if start is None:
        return None
    text = "\n".join(lines[start + 3 :]).strip("\n")
    trace = cut_trace("\n".join(lines[start:]).rstrip())
    thrown, other_value, _ = text.partition(f"\n{_NODE_OTHER_VALUE}")
    if other_value:
        return ProgramError(type="Uncaught", message=thrown[:MAX_MESSAGE], stack_trace=trace)
    head = text.split(f"\n{_NODE_FRAME}", 1)[0].split("\n")
    match = _NODE_ERROR.match(head[0])
    if match is None:
        return None
    message = "\n".join([match[2] or "", *head[1:]]).strip()
    return ProgramError(type=match[1][:256], message=message[:MAX_MESSAGE], stack_trace=trace)
