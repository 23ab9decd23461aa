"""One function a target: it takes any bytes and asserts what must hold. An exception of a type
that the callers do not expect is a finding like a broken assertion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from soulbox.app.commands.captured import place_below
from soulbox.app.commands.terminal import TerminalText
from soulbox.kinds.execution.crd_status import ExecutionStatus
from soulbox.kinds.execution.decide.fit import bare_status, shrink_status
from soulbox.kinds.execution.decide.hints import hint_of
from soulbox.kinds.execution.decide.outcome import ending_of_run, ending_without_result
from soulbox.kinds.execution.decide.output import json_size, last_line
from soulbox.kinds.execution.decide.status import (
    files_to_save,
    final_status,
    running_status,
    streams_to_save,
)
from soulbox.kinds.execution.decide.traceback import MAX_MESSAGE, MAX_STACK_TRACE_BYTES
from soulbox.kinds.execution.decide.uncaught import parse_uncaught
from soulbox.kinds.sandbox.crd import SandboxStatus
from soulbox.kinds.sandbox.decide.decision import decide_sandbox
from soulbox.model.errors import CommandError, HostileReply
from soulbox.model.keys import INCARNATION_LABEL, LOST_TIME_ANNOTATION, RUNNER_CONTAINER
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import RunState
from soulbox.pure.actions import WriteStatus
from soulbox.pure.pods.view import PodPhase, trouble_of_events, view_pod
from soulbox.schema import wire
from tests.fuzz import judge
from tests.fuzz.checks import (
    NOW,
    check_document,
    check_refusal,
    check_stats,
    check_status,
    check_work,
)
from tests.fuzz.client import POD, talk
from tests.fuzz.replies import a_document, a_stats
from tests.fuzz.source import NASTY, TIMES, Source
from tests.support.seen import make_dispatched, make_seen_sandbox

# No program's stderr that is looked at is longer: both ends of it.
MOST_STDERR = 2 * wire.MAX_EXCERPT_BYTES
# What can mean something to a terminal, and is let through.
_COLOURS = b"\x1b[0123456789;:mK\r\x08"


def replies(data: bytes) -> None:
    """A reply's body: it is refused, or within all bounds."""
    parsers: tuple[Callable[[], Any], ...] = (
        lambda: check_document(wire.parse_document(data, now=NOW)),
        lambda: [check_document(run) for run in wire.parse_list(data, now=NOW).executions],
        lambda: check_stats(wire.parse_stats(data, now=NOW)),
        lambda: check_refusal(ValueError(" ".join(map(str, wire.parse_error(data))))),
    )
    for parse in parsers:
        try:
            parse()
        except HostileReply as error:
            check_refusal(error)


def status(data: bytes) -> None:
    """A run's document, spoilt here and there: what is believed of it makes a status that the API
    server takes."""
    source = Source(data)
    body = json.dumps(source.spoil(a_document(source)))
    try:
        run = wire.parse_document(body.encode(), now=NOW)
    except HostileReply as error:
        check_refusal(error)
        return
    check_document(run)
    files = [replace(file, content=source.bytes(64)) for file in run.files]
    run = replace(run, files=tuple(files))
    spec = ExecutionSpec(
        sandbox_name="box", code=source.choose(("1", "1\r\n")), cancel=source.rarely(),
        output_limit_bytes=source.choose((None, 0, 3, 70_000)),
    )  # fmt: skip
    seen = make_dispatched(spec=spec, run=run, runner_version=source.text()[:128])
    if run.state is not RunState.FINISHED:
        check_status(ExecutionStatus, running_status(seen, run, NOW))
        check_status(ExecutionStatus, final_status(seen, ending_without_result(seen, None), NOW))
        return
    final = final_status(seen, ending_of_run(seen, run), NOW)
    check_status(ExecutionStatus, final)
    streams_to_save(final, run)
    assert len(files_to_save(final, run)) <= 64
    small = shrink_status(final)
    check_status(ExecutionStatus, small)
    bare = bare_status(small)
    check_status(ExecutionStatus, bare)
    assert json_size(bare) <= 4096


def stderr(data: bytes) -> None:
    """What a program wrote: an error is found in it or none, in time that grows with its length.

    Two bytes say how often the part between two 0xff is repeated, and the exit code.
    """
    times = (1, 1, 1, 1, 1, 1, 40, 65_536)[data[0] % 8] if data else 1
    exit_code = 2 if data[1:2] == b"\2" else 1
    head, again, tail = (*data[2:].split(b"\xff", 2), b"", b"")[:3]
    again *= min(times, MOST_STDERR // max(1, len(again)))
    text = (head + again + tail).decode("utf-8", "replace")[:MOST_STDERR]
    error = parse_uncaught(text, exit_code)
    if error is not None:
        assert 0 < len(error.type) <= 256
        assert len(error.message) <= MAX_MESSAGE
        assert len(error.stack_trace.encode()) <= MAX_STACK_TRACE_BYTES
        assert "\n" not in error.summary
    assert len(last_line(text)) <= 1024
    assert len(hint_of(make_dispatched(), text)) <= 512
    if times > 1:
        lines = text.count("\n") + 1
        check_work(lambda: parse_uncaught(text, exit_code), 500 + 60 * lines)


def pods(data: bytes) -> None:
    """A pod's status and its Events, in the kubelet's and perhaps a program's words."""
    source = Source(data)
    pod = view_pod(source_pod(source))
    assert len(pod.end_message) <= 1024
    assert (pod.end_cause is None) == (pod.phase is not PodPhase.ENDED)
    trouble = trouble_of_events(
        {
            "reason": source.choose(("FailedMount", "Started", "FailedCreatePodSandBox", "")),
            "message": source.text(),
            "lastTimestamp": source.choose((None, *TIMES)),
        }
        for _ in range(source.below(4))
    )
    for one in (pod.trouble, trouble):
        assert one is None or len(one.message) <= 2048
    if trouble is not None and pod.phase is PodPhase.PENDING:
        pod = replace(pod, trouble=trouble)
    seen = make_seen_sandbox(
        pod, ready_pods=frozenset({pod.uid} if source.rarely() else ()), has_finalizer=True
    )
    for action in decide_sandbox(seen, NOW).actions:
        if isinstance(action, WriteStatus):
            check_status(SandboxStatus, action.status)
    execution = make_dispatched(pod=pod)
    check_status(
        ExecutionStatus, final_status(execution, ending_without_result(execution, pod), NOW)
    )


def source_pod(source: Source) -> dict[str, Any]:
    """A pod as the API server would give it: its types hold, its words are anybody's."""

    def state() -> dict[str, Any]:
        ended = {
            "exitCode": source.choose((0, 1, 137, 255)),
            "reason": source.choose(
                ("Completed", "Error", "OOMKilled", "StartError", "ContainerStatusUnknown", "")
            ),
            "message": source.text(),
            "startedAt": source.choose((None, "1970-01-01T00:00:00Z", TIMES[0])),
            "finishedAt": source.choose((None, "1970-01-01T00:00:00Z", TIMES[0])),
        }
        waiting = {
            "reason": source.choose(
                ("ErrImagePull", "CrashLoopBackOff", "ContainerCreating", source.text())
            ),
            "message": source.text(),
        }
        running = {"startedAt": source.choose(TIMES[:2])}
        made: tuple[dict[str, Any], ...] = (
            {}, {"running": running}, {"terminated": ended}, {"waiting": waiting},
        )  # fmt: skip
        return source.choose(made)

    metadata: dict[str, Any] = {
        "uid": "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e",
        "name": "box-0123456789",
        "creationTimestamp": "2026-03-04T05:06:07Z",
        "labels": {INCARNATION_LABEL: source.choose(("1", "-1", "999999999", "٣", source.text()))},
        "annotations": {LOST_TIME_ANNOTATION: source.choose((*TIMES, source.text()))},
    }
    if source.rarely():
        metadata["deletionTimestamp"] = "2026-03-04T05:06:07Z"
    limits = {"cpu": source.choose(("1", "1e99", source.text())), "memory": source.text()}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": RUNNER_CONTAINER, "resources": {"limits": limits}}]},
        "status": {
            "phase": source.choose(("Pending", "Running", "Failed", "Succeeded", "Unknown")),
            "reason": source.choose(("", "Evicted", "DeadlineExceeded", "NodeLost", source.text())),
            "message": source.text(),
            "podIP": "10.0.0.7",
            "conditions": [
                {
                    "type": source.choose(("DisruptionTarget", "PodScheduled", "Ready")),
                    "status": source.choose(("True", "False")),
                    "reason": source.choose(("DeletionByTaintManager", "Unschedulable", "")),
                    "message": source.text(),
                }
                for _ in range(source.below(3))
            ],
            "containerStatuses": [
                {"name": RUNNER_CONTAINER, "state": state(), "imageID": source.choose(("", "i@1"))}
            ],
        },
    }


def terminal(data: bytes) -> None:
    """A program's output on a terminal: colours and no more, the same in any pieces."""
    source = Source(data)
    cuts = [source.below(64) for _ in range(source.below(8))]
    content = source.rest()
    whole = TerminalText()
    shown = whole.feed(content) + whole.end()
    pieces, rest, again = TerminalText(), content, b""
    for cut in cuts:
        again += pieces.feed(rest[:cut])
        rest = rest[cut:]
    again += pieces.feed(rest) + pieces.end()
    assert again == shown
    for character in shown.decode():
        code = ord(character)
        assert code not in range(0x7F, 0xA0)
        assert code >= 0x20 or character in "\n\t\r\x08\x1b"
    for sequence in shown.split(b"\x1b")[1:]:
        assert sequence[:1] == b"["
        end = len(sequence) - len(sequence.lstrip(b"[0123456789;:"))
        assert sequence[end : end + 1] in (b"m", b"K")


def captured(data: bytes) -> None:
    """A captured file's path: it is written below the folder asked for, or not at all."""
    source = Source(data)
    path = source.choose((source.text(), "/".join((source.text(8), source.text(8)))))
    out = Path("/nonexistent/out")
    try:
        target = place_below(out, path)
    except CommandError:
        return
    assert target.is_relative_to(out)
    assert target != out
    assert ".." not in target.parts


def connection(data: bytes) -> None:
    """Whatever bytes come over the connection: each call ends with a bounded value or one of three
    errors."""
    talk(data)


RAW_REPLIES = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSoulbox-Stored-Bytes: 1\r\n\r\n1\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=\x80; \x00\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"HTTP/1.1 99999 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 204 No\r\nSoulbox-Stored-Bytes: \xd9\xa3\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; charset=\xff\r\n\r\n{}",
    b"\0" * 70_000,
)
_HEADER = b"Traceback (most recent call last):\n"
_GROUP = b"  + Exception Group Traceback (most recent call last):\n"
WRITTEN = (
    b"",
    _HEADER + b'  File "x.py", line 1, in <module>\n    1/0\nZeroDivisionError: division by zero\n',
    _HEADER + b"a.b.Error: one\ntwo\n\nDuring handling of the above exception, another exception"
    b" occurred:\n\n" + _HEADER + b"KeyError\n<sys>:0: ResourceWarning: x\n",
    _GROUP
    + b"  | ExceptionGroup: many (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n",
    b"Exception ignored in: <x>\n" + _HEADER + b"ValueError: a\nlast words\n",
    b"Task exception was never retrieved\nfuture: <Task>\n" + _HEADER + b"OSError: [Errno 2]\n",
    b'  File "x.py", line 3\n    (\n    ^\nSyntaxError: never closed\n',
    b"/x/a.js:3\n  throw 1\n  ^\n\nTypeError [E]: no\n    at f (/x/a.js:3:1)\n\nNode.js v20.1.0\n",
    b"/x/a.js:3\n  throw 1\n  ^\n1\n(Use `node --trace-uncaught ...`)\n\nNode.js v20.1.0\n",
    b"x.sh: fork: retry: Resource temporarily unavailable\n",
)
# Between 0xff what is repeated to the end of what is kept of a stream.
REPEATED = (
    b"Exception ignored in: x\n\xff" + _GROUP,
    b"Exception ignored in: x\n\xff  \n\xff" + _HEADER,
    b"\xffException ignored in: x\n" + _HEADER,
    b"\xff" + _HEADER + b"a: b\n\nThe above exception was the direct cause of the following"
    b" exception:\n\n",
    b"\xffa:1\nx\n^\n\xff\nNode.js v1",
    _HEADER + b"E: x\n\xff:1",
    b"\xff\n\xffx",
)
TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        replies, status, stderr, pods, terminal, captured, connection,
        judge.schemas, judge.expressions,
    )
}  # fmt: skip


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with."""
    golden = Path(__file__).parents[2] / "runner/testdata/wire"
    # They hold the times of the day on which they were recorded.
    files = {
        path.name: re.sub(rb"20\d\d-\d\d-\d\dT", b"2026-03-04T", path.read_bytes())
        for path in sorted(golden.glob("*.json"))
    }
    mixed = [bytes((i * 37 + j * 11) % 256 for j in range(200)) for i in range(24)]
    documents = [json.dumps(a_document(Source(each))).encode() for each in mixed]
    if name in ("schemas", "expressions"):
        return judge.seeds(name)
    if name == "replies":
        return [*files.values(), *documents, json.dumps(a_stats()).encode()]
    if name == "connection":
        listed = json.dumps(
            {
                "executions": [json.loads(each) for each in documents[:3]],
                "runnerVersion": "v1",
                "podUid": POD.uid,
                "time": TIMES[0],
            }
        ).encode()
        stats = json.dumps(a_stats()).encode()
        error = files["error.unauthorized.json"]
        return [
            *(_reply(0, 200, body) for body in documents),
            *(_reply(1, 200, body) for body in (listed, files["list.full.json"])),
            *(_reply(2, 200, body) for body in (stats, files["stats.full.json"])),
            *(_reply(call, code, error) for call in range(7) for code in (302, 401, 503)),
            *(_reply(call, 200, b"123456789") for call in (3, 4)),
            *(_reply(call, 200, b"1") for call in (3, 4)),
            *(bytes([call]) + raw for call in range(7) for raw in RAW_REPLIES),
        ]
    if name == "stderr":
        return [*(b"\0\1" + text for text in WRITTEN), *(b"\7\1" + text for text in REPEATED)]
    if name == "terminal":
        return [
            *(bytes([2, 3, 5]) + text.encode() for text in NASTY),
            b"\3\1\2\3\x1b[1;31mred\x1b[0m",
        ]
    return [b"", bytes(range(256)), b"\xff" * 64, *mixed]


def _reply(call: int, status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nSoulbox-Stored-Bytes: 9\r\n\r\n"
    return bytes([call]) + head.encode() + body
