"""What a user can do about an error whose own words do not say it.

Only for errors that the sandbox itself brings about (its limits, the way code comes into
it), and only where the program's words leave no doubt.
"""

import re
from typing import Final

from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.model.specs import ExecutionSpec

# CPython, Bash, Go, the C library, Java.
_NO_PROCESS: Final = re.compile(
    r"can't start new thread|fork: (?:retry: )?Resource temporarily unavailable"
    r"|fork[\s\S]{0,400}BlockingIOError: \[Errno 11\]|pthread_create failed"
    r"|failed to create new OS thread|unable to create native thread"
    r"|fork/exec \S+: resource temporarily unavailable"
)
# What shells say of a line that ends in a carriage return. Most interpreters take it as space.
_CARRIAGE_RETURN: Final = re.compile(r"\\r'|\r['\":]|[Ss]yntax error.*unexpected")
# Where in stderr an error that ended the program is looked for.
_END_CHARACTERS: Final = 4_096


def hint_of(seen: SeenExecution, stderr: str) -> str:
    """A sentence, with a space before it, on a program that failed with this; "" for none."""
    end = stderr[-_END_CHARACTERS:]
    if seen.terms is not None and _NO_PROCESS.search(end):
        return (
            f" Its class allows {seen.terms.max_processes} processes and threads at once"
            " (max.pids of the SandboxClass), counting all that run in its pod."
        )
    code = seen.spec.code if isinstance(seen.spec, ExecutionSpec) else None
    if code is not None and "\r\n" in code and _CARRIAGE_RETURN.search(end):
        return (
            " Lines of its code end in CRLF, as on Windows; to a shell the CR is part of the"
            " line. Save it with LF line endings."
        )
    return ""
