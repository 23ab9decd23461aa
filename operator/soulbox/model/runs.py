"""One run of a program: what is asked of a pod's runner and what it says of it.

`schema/wire.py` makes these from the runner's replies, which user code may have forged:
shape, bounds and identity were checked, the truth of the figures cannot be. Nothing here
is trusted for identity, nor for billed time beyond the pod's own.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from soulbox.model.handlers import Handler
from soulbox.model.specs import EnvVar, FileEncoding, InputFile
from soulbox.model.states import (
    ResultProblem,
    RunnerFeature,
    RunOutcome,
    RunState,
)

# Of the text of `StartRun.input`, in UTF-8.
MAX_RUN_INPUT_BYTES: Final = 262_144
MAX_RESULT_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """What a runner is asked to run. The same run asked for again must be equal in every
    field: the runner compares and refuses another body under a known uid and attempt."""

    command: tuple[str, ...]
    extension: str  # of the file the code is written to, with its dot, or ""
    code: str
    timeout_seconds: int
    output_limit_bytes: int  # kept of each stream
    max_processes: int
    max_open_files: int
    max_file_size_bytes: int
    code_encoding: FileEncoding = FileEncoding.UTF8  # BASE64 for code that is not text
    files: tuple[InputFile, ...] = ()
    args: tuple[str, ...] = ()
    stdin: str | None = None  # None: the input; without one end-of-file at once
    env: tuple[EnvVar, ...] = ()
    capture_files: tuple[str, ...] = ()  # globs over the workspace
    # The text of a JSON document, which the program finds by SOULBOX_INPUT; None: there is none.
    # For a runner with RunnerFeature.INPUT only.
    input: str | None = None
    # None: the code itself is the program. For one with RunnerFeature.HANDLER only.
    handler: Handler | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended."""

    outcome: RunOutcome
    exit_code: int | None  # 0..255, present only with Exited
    signal: str | None  # "SIGSEGV"; None when no signal ended it or it was not told
    message: str | None  # the runner's own words, at most 4096 characters
    # Processes of the pod that the kernel killed for memory meanwhile; 0 too when it cannot tell.
    oom_kills: int = 0
    # Processes that the program left had work to do when they were killed at its end.
    left_at_work: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUsage:
    """What a run used; None is a figure that could not be read."""

    cpu_time_milliseconds: int | None
    peak_memory_bytes: int | None
    disk_read_bytes: int | None
    disk_write_bytes: int | None
    network_rx_bytes: int | None
    network_tx_bytes: int | None
    shared: bool  # other runs overlapped: pod-wide figures hold theirs too


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSummary:
    """One of stdout and stderr."""

    head: bytes  # the first bytes, at most 32768
    tail: bytes  # the last ones beyond head, at most 32768
    size_bytes: int  # all the program wrote
    stored_bytes: int  # what read_output can give
    truncated: bool  # stored_bytes < size_bytes
    sha256: str  # hex, of all the program wrote

    @property
    def is_whole(self) -> bool:
        """Whether head and tail together are everything the program wrote."""
        return len(self.head) + len(self.tail) == self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedFile:
    """A file of the workspace that one of captureFiles named."""

    path: str  # relative to the workspace
    size_bytes: int  # the file's own
    sha256: str  # hex, of what was kept
    truncated: bool  # only a first part was kept
    # Its bytes, for the status; None: too large for it, or nobody has read it.
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """What a program left where SOULBOX_RESULT says. Nobody has looked whether it is JSON."""

    content: bytes = b""  # at most MAX_RESULT_BYTES; empty too with a problem
    size_bytes: int = 0  # with a problem known only of TOO_LARGE
    sha256: str = ""  # hex, of the content; "" with a problem
    problem: ResultProblem | None = None  # None: the content is all of it
    message: str = ""  # the runner's own words to the problem, at most 256 characters


@dataclass(frozen=True, slots=True)
class ResultValue:
    """The result: any JSON, null too, in characters that YAML can hold (`model/text.py`)."""

    value: Any


@dataclass(frozen=True, slots=True)
class NoResult:
    """Why it is none, as the end of a sentence that begins with "the result"."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """A run as its runner sees it."""

    uid: str  # of the Execution
    attempt: int
    state: RunState
    accepted_time: datetime
    start_time: datetime | None  # None: its code has not started, or could not
    completion_time: datetime | None  # None: not finished; never before start_time
    duration_milliseconds: int | None  # on the monotonic clock
    result: RunResult | None  # present exactly when Finished
    usage: RunUsage | None
    stdout: StreamSummary | None  # None in lists, and before the code started
    stderr: StreamSummary | None
    files: tuple[CapturedFile, ...] = ()  # at most 64, in the order of their paths
    files_omitted: int = 0  # how many more matched
    files_omitted_reason: str = ""  # also of some that may not have been found
    result_file: ResultFile | None = None  # None: the program left none; only when Finished
    # The same, read (`schema/results.py`); None: it left none, or nobody has read it yet.
    left: ResultValue | NoResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """Everything a runner knows and nobody has released; the documents are without output."""

    executions: tuple[RunDocument, ...]
    runner_version: str
    pod_uid: str
    time: datetime  # the runner's clock
    # It starts no code until it has seen its pod's network policy in force.
    policy_unseen: bool = False
    # One without a feature refuses what asks for it ("Invalid", 400), or does without a word.
    features: frozenset[RunnerFeature] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """Resource figures of the whole pod; None is a figure that could not be read."""

    time: datetime
    cgroup_version: int | None
    cpu_seconds_total: Decimal | None
    memory_bytes: int | None
    memory_peak_bytes: int | None
    memory_unreclaimable_bytes: int | None  # without the page cache
    memory_limit_bytes: int | None
    oom_kills: int | None
    disk_used_bytes: int | None
    disk_read_bytes: int | None
    disk_write_bytes: int | None
    network_rx_bytes: int | None
    network_tx_bytes: int | None
    network_rx_packets: int | None
    network_tx_packets: int | None
    processes: int | None
    running_executions: tuple[str, ...]  # "uid/attempt"
