"""Replies as a runner makes them, with words that a program chose."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from tests.fuzz.source import TIMES, Source

OUTCOMES = (
    "Exited", "Exited", "Exited", "Signaled", "TimedOut", "Cancelled", "OOMKilled", "DiskLimit",
    "StartFailed",
)  # fmt: skip


def a_stream(source: Source) -> dict[str, Any]:
    head = source.text(200).encode()[:32_768]
    tail = source.text(200).encode()[:32_768] if source.rarely() else b""
    size = len(head) + len(tail) + source.choose((0, 0, 0, 5, 2**40))
    stored = size if source.byte() % 2 else size // 2
    return {
        "head": base64.b64encode(head).decode(),
        "tail": base64.b64encode(tail).decode(),
        "bytes": size,
        "storedBytes": stored,
        "truncated": stored < size,
        "sha256": "ab" * 32,
    }


def a_result_file(source: Source) -> dict[str, Any]:
    if source.rarely():
        return {"size": source.choose((65_537, 2**63 - 1)), "problem": "TooLarge"}
    if source.rarely():
        problem = source.choose(("NotAFile", "Unreadable"))
        return {"size": 0, "problem": problem, "message": source.text()[:4096]}
    content = json.dumps(source.value()).encode() if source.byte() % 2 else source.bytes(64)
    return {
        "content": base64.b64encode(content).decode(),
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def a_document(source: Source) -> dict[str, Any]:
    """A run in one of its states, that contradicts itself nowhere."""
    state = source.choose(("Finished", "Finished", "Finished", "Running", "Accepted"))
    document: dict[str, Any] = {
        "uid": "5a0d60c5-0000-4000-8000-0000000000e0",
        "attempt": 1,
        "state": state,
        "acceptedTime": TIMES[0],
    }
    if state != "Accepted":
        document["startTime"] = source.choose(TIMES[:2])
        document["output"] = {"stdout": a_stream(source), "stderr": a_stream(source)}
    if state != "Finished":
        return document
    outcome = source.choose(OUTCOMES)
    result: dict[str, Any] = {"outcome": outcome, "oomKills": source.choose((0, 0, 1, 2**62))}
    if outcome == "Exited":
        result["exitCode"] = source.choose((0, 1, 1, 2, 255))
    if source.rarely():
        result["signal"] = source.choose(("SIGKILL", "SIGRTMIN+1"))
    if source.byte() % 2:
        result["message"] = source.text()[:4096]
    result["leftAtWork"] = source.rarely()
    if source.byte() % 2:
        document["resultFile"] = a_result_file(source)
    return document | {
        "completionTime": source.choose(TIMES[:2]),
        "durationMilliseconds": source.choose((0, 1100, 3_155_760_000_000)),
        "result": result,
        "usage": {"cpuTimeMilliseconds": source.choose((0, 2**63 - 1)), "shared": False},
        "files": [
            {"path": source.text() or "x", "size": source.below(70), "sha256": "cd" * 32}
            for _ in range(source.below(5))
        ],
        "filesOmitted": source.choose((0, 0, 3, 2**63 - 1)),
        "filesOmittedReason": source.text()[:4096],
    }


def a_stats() -> dict[str, Any]:
    return {
        "time": TIMES[0],
        "cgroupVersion": 2,
        "cpuSecondsTotal": 1.25,
        "memoryBytes": 5,
        "runningExecutions": ["u/1"],
    }
