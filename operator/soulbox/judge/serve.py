"""Inside of the judge's process: its limits, and one ask after the other until its input ends.

The timer of an ask counts CPU time (ITIMER_PROF) and nobody catches its signal: the kernel ends
the process, whatever library holds the GIL, and the parent reads from the exit status that
the ask was late.
"""

import os
import resource
import signal
import time
from typing import Final, NoReturn

import orjson

from soulbox.judge import limits
from soulbox.judge.expressions import Expressions
from soulbox.judge.frames import LENGTH_BYTES, BrokenFrame, length, pack
from soulbox.judge.schemas import Schemas

_INPUT: Final = 0
_OUTPUT: Final = 1


def main() -> NoReturn:
    """Serve until the parent closes the pipe or this process is to be replaced."""
    # Nothing of an error's text leaves: it may hold what tenants wrote.
    code = limits.EXIT_BROKEN
    try:
        code = _serve(confine())
    except MemoryError:
        code = limits.EXIT_OUTGREW
    except BrokenFrame:
        pass
    finally:
        # Without unwinding: what the libraries hold may be hundreds of megabytes, or broken.
        os._exit(code)


def confine() -> int:
    """Take from this process what it does not need; returns the descriptor that tells its size.

    With no descriptor left to open there are no files and no sockets, whatever is asked of it.
    """
    # A parent that ignores or blocks the timer's signal hands that down.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    _offer_to_the_oom_killer()
    size = os.open("/proc/self/statm", os.O_RDONLY)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_STACK, limits.STACK_BYTES),
        (resource.RLIMIT_CPU, limits.LIFE_CPU_SECONDS),
        (resource.RLIMIT_AS, limits.MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, size + 1),
    ):
        _lower(limit, value)
    return size


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, value))


def _offer_to_the_oom_killer() -> None:
    # When the node or the pod runs out of memory, this process goes and not the operator.
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        return


def _serve(size: int) -> int:
    schemas, expressions = Schemas(), Expressions()
    _write(pack(b'{"ready":true}'))
    while (header := _read()) is not None:
        subject, document = _read(), _read()
        if subject is None or document is None:
            raise BrokenFrame("an ask without its parts")
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, limits.DEADLINE_SECONDS)
        ask = orjson.loads(header)
        judge = schemas if ask["about"] == "schema" else expressions
        reply = judge.judge(ask, subject, document)
        slow = time.process_time() - began > limits.SLOW_SECONDS
        packed = pack(orjson.dumps(reply | {"spent": _spent(size), "slow": slow}))
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(packed)
    return 0


def _spent(size: int) -> bool:
    pages = int(os.pread(size, 64, 0).split(b" ", 1)[0])
    return (
        pages * resource.getpagesize() > limits.SPENT_BYTES
        or time.process_time() > limits.SPENT_CPU_SECONDS
    )


def _read() -> bytes | None:
    """One frame; None at the end of the input."""
    head = _read_exactly(LENGTH_BYTES)
    if not head:
        return None
    return _read_exactly(length(head, limits.REQUEST_BYTES))


def _read_exactly(count: int) -> bytes:
    """So many bytes, or none at all if the input ends before the first."""
    pieces: list[bytes] = []
    missing = count
    while missing:
        piece = os.read(_INPUT, missing)
        if not piece:
            if missing == count:
                return b""
            raise BrokenFrame("the input ends within a frame")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _write(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(_OUTPUT, left) :]
