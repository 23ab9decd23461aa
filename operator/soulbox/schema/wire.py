"""The runner's messages: requests written, replies read as hostile input.

User code shares the pod with the runner and may impersonate it, so a reply is judged like a
stranger's: bounded, typed, consistent in itself, plausible in time. Unknown fields are ignored (an
older operator talks to newer runners); the code that reads from the socket bounds the total size.
Every finding is a `HostileReply` whose text never repeats the reply.
"""

import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from soulbox.model.errors import HostileReply
from soulbox.model.runs import (
    MAX_RESULT_BYTES,
    CapturedFile,
    ResultFile,
    RunDocument,
    RunList,
    RunResult,
    RunStats,
    RunUsage,
    StartRun,
    StreamSummary,
)
from soulbox.model.specs import InputFile
from soulbox.model.states import (
    PolicyFinding,
    ResultProblem,
    RunnerFeature,
    RunOutcome,
    RunState,
)
from soulbox.model.text import printable

MAX_EXCERPT_BYTES: Final = 32_768
# Four excerpts in base64 are 175 KB, the names of 64 captured files at most 256 KB more, a result
# 88 KB.
MAX_DOCUMENT_BYTES: Final = 1_048_576
MAX_LIST_BYTES: Final = 4_194_304
MAX_STATS_BYTES: Final = 65_536
# The clocks of nodes and operator may differ; a difference of over a day means that one is wrong.
MAX_AHEAD: Final = timedelta(days=1)
# No sandbox lives longer than a year.
MAX_AGE: Final = timedelta(days=400)

# int64: what PostgreSQL's bigint and the CRD take.
_Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
# 100 years, so that a time plus a duration never overflows.
_Milliseconds = Annotated[int, Field(ge=0, le=3_155_760_000_000)]
_Identity = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Excerpt = Annotated[str, StringConstraints(max_length=4 * ((MAX_EXCERPT_BYTES + 2) // 3))]
_Content = Annotated[str, StringConstraints(max_length=4 * ((MAX_RESULT_BYTES + 2) // 3))]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Message(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=False, extra="ignore", frozen=True, strict=True
    )


class _Result(_Message):
    outcome: RunOutcome
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    signal: Annotated[str, StringConstraints(pattern=r"^SIG[A-Z0-9+-]{1,28}$")] | None = None
    message: Annotated[str, StringConstraints(max_length=4096)] | None = None
    oom_kills: _Count = 0
    left_at_work: bool = False


class _Usage(_Message):
    cpu_time_milliseconds: _Count | None = None
    peak_memory_bytes: _Count | None = None
    disk_read_bytes: _Count | None = None
    disk_write_bytes: _Count | None = None
    network_rx_bytes: _Count | None = None
    network_tx_bytes: _Count | None = None
    shared: bool = False


class _Stream(_Message):
    head: _Excerpt = ""
    tail: _Excerpt = ""
    size_bytes: Annotated[_Count, Field(alias="bytes")]
    stored_bytes: _Count
    truncated: bool
    sha256: _Sha256


class _Output(_Message):
    stdout: _Stream
    stderr: _Stream


class _File(_Message):
    # The runner bounds the depth of a path by 256 parts of 255 bytes.
    path: Annotated[str, StringConstraints(min_length=1, max_length=66_000)]
    size: _Count
    sha256: _Sha256
    truncated: bool = False


class _ResultFile(_Message):
    content: _Content = ""
    size: _Count = 0
    sha256: _Sha256 | None = None
    problem: ResultProblem | None = None
    message: Annotated[str, StringConstraints(max_length=4096)] = ""


class _Document(_Message):
    uid: _Identity
    attempt: Annotated[int, Field(ge=1, le=2**31 - 1)]
    state: RunState
    accepted_time: AwareDatetime
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    duration_milliseconds: _Milliseconds | None = None
    result: _Result | None = None
    usage: _Usage | None = None
    output: _Output | None = None
    files: Annotated[list[_File], Field(max_length=64)] = []
    files_omitted: _Count = 0
    files_omitted_reason: Annotated[str, StringConstraints(max_length=4096)] = ""
    result_file: _ResultFile | None = None


class _List(_Message):
    executions: Annotated[list[_Document], Field(max_length=1024)]
    runner_version: Annotated[str, StringConstraints(max_length=128)]
    pod_uid: _Identity
    time: AwareDatetime
    policy_unseen: bool = False
    # Words of later releases are let pass.
    features: Annotated[
        list[Annotated[str, StringConstraints(max_length=64)]], Field(max_length=64)
    ] = []


class _Enforcement(_Message):
    finding: PolicyFinding
    message: Annotated[str, StringConstraints(max_length=4096)] = ""


class _Stats(_Message):
    time: AwareDatetime
    cgroup_version: Annotated[int, Field(ge=1, le=2)] | None = None
    cpu_seconds_total: Annotated[Decimal, Field(ge=0, le=10**12)] | None = None
    memory_bytes: _Count | None = None
    memory_peak_bytes: _Count | None = None
    memory_unreclaimable_bytes: _Count | None = None
    memory_limit_bytes: _Count | None = None
    oom_kills: _Count | None = None
    disk_used_bytes: _Count | None = None
    disk_read_bytes: _Count | None = None
    disk_write_bytes: _Count | None = None
    network_rx_bytes: _Count | None = None
    network_tx_bytes: _Count | None = None
    network_rx_packets: _Count | None = None
    network_tx_packets: _Count | None = None
    processes: _Count | None = None
    running_executions: Annotated[list[_Identity], Field(max_length=1024)] = []


class _ErrorDetail(_Message):
    code: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,64}$")]
    message: str = ""


class _Error(_Message):
    error: _ErrorDetail
    time_milliseconds: _Count | None = None


_Reply = TypeVar("_Reply", bound=_Message)


def dump_start(request: StartRun) -> bytes:
    """The body of the call that starts a run; equal requests give equal bytes."""
    body: dict[str, Any] = {
        "command": request.command,
        "extension": request.extension,
        "code": request.code,
        "codeEncoding": request.code_encoding,
        "files": [_file(each) for each in request.files],
        "args": request.args,
        "env": [{"name": each.name, "value": each.value} for each in request.env],
        "timeoutSeconds": request.timeout_seconds,
        "outputLimitBytes": request.output_limit_bytes,
        "limits": {
            "processes": request.max_processes,
            "openFiles": request.max_open_files,
            "fileSizeBytes": request.max_file_size_bytes,
        },
    }
    if request.capture_files:
        body["captureFiles"] = request.capture_files
    if request.stdin is not None:
        body["stdin"] = request.stdin
    if request.input is not None:
        body["input"] = request.input
    if request.handler is not None:
        body["handler"] = {
            "name": request.handler.name,
            "language": request.handler.language,
        }
    return orjson.dumps(body)


def _file(file: InputFile) -> dict[str, Any]:
    body: dict[str, Any] = {"path": file.path, "content": file.content, "encoding": file.encoding}
    if file.mode is not None:  # an older runner does not know the field
        body["mode"] = file.mode
    return body


def parse_document(body: bytes, *, now: datetime) -> RunDocument:
    """A run as its runner reports it.

    Args:
        body: the reply; the caller has bounded its size.
        now: aware; times far from it are not believed.

    Raises:
        HostileReply: not JSON, wrong types, out of bounds, or contradicting itself.
    """
    return _document(_read(_Document, body), now)


def parse_list(body: bytes, *, now: datetime) -> RunList:
    """All runs a runner knows. Arguments and errors as `parse_document`."""
    reply = _read(_List, body)
    return RunList(
        executions=tuple(_document(each, now) for each in reply.executions),
        runner_version=reply.runner_version,
        pod_uid=reply.pod_uid,
        time=_time("time", reply.time, now),
        policy_unseen=reply.policy_unseen,
        features=frozenset(each for each in RunnerFeature if each in reply.features),
    )


def dump_enforcement(address: str, port: int) -> bytes:
    """The body of the call that has the runner look at its policy."""
    return orjson.dumps({"address": address, "port": port})


def parse_enforcement(body: bytes) -> tuple[PolicyFinding, str]:
    """What the runner found, and its words to it (at most 256 characters).

    Raises:
        HostileReply: see `parse_document`.
    """
    reply = _read(_Enforcement, body)
    return reply.finding, printable(reply.message[:256])[:256]


def parse_stats(body: bytes, *, now: datetime) -> RunStats:
    """Resource figures of the pod. Arguments and errors as `parse_document`."""
    reply = _read(_Stats, body)
    fields = {name: getattr(reply, name) for name in _Stats.model_fields}
    fields["time"] = _time("time", reply.time, now)
    fields["running_executions"] = tuple(reply.running_executions)
    return RunStats(**fields)


def parse_error(body: bytes) -> tuple[str, str, int | None]:
    """Code, message (at most 256 harmless characters) and the runner's time in Unix milliseconds.

    Raises:
        HostileReply: not an error reply.
    """
    reply = _read(_Error, body)
    # It goes into logs, Events and conditions.
    return reply.error.code, printable(reply.error.message[:256])[:256], reply.time_milliseconds


def _read(model: type[_Reply], body: bytes) -> _Reply:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])[:128] or "reply"
        raise HostileReply(f"runner's reply: {field}: {first['msg'][:128]}") from None


def _document(reply: _Document, now: datetime) -> RunDocument:
    finished = reply.state is RunState.FINISHED
    if finished != (reply.result is not None):
        raise HostileReply("runner's reply: result must be there exactly when Finished")
    start_time = _optional_time("startTime", reply.start_time, now)
    completion_time = _optional_time("completionTime", reply.completion_time, now)
    if finished and completion_time is None:
        raise HostileReply("runner's reply: Finished without completionTime")
    if not finished and completion_time is not None:
        raise HostileReply("runner's reply: completionTime before Finished")
    if start_time is not None and completion_time is not None and completion_time < start_time:
        # An honest node's clock was set back during the run: the duration, which is
        # monotonic, still holds.
        duration = timedelta(milliseconds=reply.duration_milliseconds or 0)
        completion_time = _time("durationMilliseconds", start_time + duration, now)
    if not finished and reply.result_file is not None:
        raise HostileReply("runner's reply: resultFile before Finished")
    output = reply.output
    return RunDocument(
        uid=reply.uid,
        attempt=reply.attempt,
        state=reply.state,
        accepted_time=_time("acceptedTime", reply.accepted_time, now),
        start_time=start_time,
        completion_time=completion_time,
        duration_milliseconds=reply.duration_milliseconds,
        result=None if reply.result is None else _result(reply.result),
        usage=None if reply.usage is None else RunUsage(**dict(reply.usage)),
        stdout=None if output is None else _stream("stdout", output.stdout),
        stderr=None if output is None else _stream("stderr", output.stderr),
        files=tuple(
            CapturedFile(
                path=each.path,
                size_bytes=each.size,
                sha256=each.sha256,
                truncated=each.truncated,
            )
            for each in reply.files
        ),
        files_omitted=reply.files_omitted,
        files_omitted_reason=reply.files_omitted_reason,
        result_file=None if reply.result_file is None else _result_file(reply.result_file),
    )


def _result_file(reply: _ResultFile) -> ResultFile:
    if reply.problem is not None:
        if reply.content or reply.sha256 is not None:
            raise HostileReply("runner's reply: resultFile has a problem and a content")
        if (reply.problem is ResultProblem.TOO_LARGE) != (reply.size > MAX_RESULT_BYTES):
            raise HostileReply("runner's reply: resultFile.size contradicts its problem")
        # It goes into conditions.
        message = printable(reply.message[:256])[:256]
        return ResultFile(size_bytes=reply.size, problem=reply.problem, message=message)
    content = _decoded("resultFile.content", reply.content)
    if len(content) != reply.size or len(content) > MAX_RESULT_BYTES:
        raise HostileReply("runner's reply: resultFile.size is not its content's")
    if hashlib.sha256(content).hexdigest() != reply.sha256:
        raise HostileReply("runner's reply: resultFile.sha256 is not its content's")
    return ResultFile(content=content, size_bytes=reply.size, sha256=reply.sha256)


def _result(reply: _Result) -> RunResult:
    if (reply.outcome is RunOutcome.EXITED) != (reply.exit_code is not None):
        raise HostileReply("runner's reply: exitCode must be there exactly when Exited")
    return RunResult(
        outcome=reply.outcome,
        exit_code=reply.exit_code,
        signal=reply.signal,
        message=reply.message,
        oom_kills=reply.oom_kills,
        left_at_work=reply.left_at_work,
    )


def _stream(name: str, reply: _Stream) -> StreamSummary:
    head, tail = _excerpt(name, reply.head), _excerpt(name, reply.tail)
    shown_bytes = len(head) + len(tail)
    if reply.stored_bytes > reply.size_bytes or shown_bytes > reply.size_bytes:
        raise HostileReply(f"runner's reply: {name} holds more than the bytes it counts")
    if reply.truncated != (reply.stored_bytes < reply.size_bytes):
        raise HostileReply(f"runner's reply: {name}.truncated contradicts its counts")
    return StreamSummary(
        head=head,
        tail=tail,
        size_bytes=reply.size_bytes,
        stored_bytes=reply.stored_bytes,
        truncated=reply.truncated,
        sha256=reply.sha256,
    )


def _decoded(name: str, text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are both one
        raise HostileReply(f"runner's reply: {name} is not base64") from None


def _excerpt(name: str, text: str) -> bytes:
    excerpt = _decoded(name, text)
    if len(excerpt) > MAX_EXCERPT_BYTES:
        raise HostileReply(f"runner's reply: an excerpt of {name} is over its bound")
    return excerpt


def _optional_time(field: str, time: datetime | None, now: datetime) -> datetime | None:
    return None if time is None else _time(field, time, now)


def _time(field: str, time: datetime, now: datetime) -> datetime:
    if time.utcoffset() != timedelta(0):
        raise HostileReply(f"runner's reply: {field} is not in UTC")
    # Compared as distances: adding to `now` could leave datetime's range.
    if time - now > MAX_AHEAD or now - time > MAX_AGE:
        raise HostileReply(f"runner's reply: {field} is far from now")
    return time.astimezone(UTC)
