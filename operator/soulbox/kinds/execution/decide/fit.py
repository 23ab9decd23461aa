"""Statuses for an API server that says the object is too large: an Execution always ends."""

import json
from collections.abc import Mapping
from typing import Any

from soulbox.kinds.execution.decide.output import MINIMAL_BYTES, encoded_bytes, inline_stream
from soulbox.kinds.execution.decide.status import TERMS, lost_output

# Of each text in a status that has room for nothing else.
_BARE_TEXT = 128


def shrink_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """The same end with output cut to 1 KiB a stream, for an API server that still says
    the object is too large: an Execution always ends."""
    small = dict(status)
    output = dict(small.get("output") or {})
    for stream in ("stdout", "stderr"):
        text = str(output.get(stream, ""))
        raw = text.encode()
        cut = inline_stream(raw[:MINIMAL_BYTES], b"", len(raw), MINIMAL_BYTES)
        if cut.text != text:
            output[stream] = cut.text
            output[f"{stream}Truncated"] = True
    if output.get("files"):
        left, kept = MINIMAL_BYTES, []
        for file in output["files"]:
            left -= encoded_bytes(file["path"])
            if left < 0:
                break
            kept.append({key: value for key, value in file.items() if key != "content"})
        dropped = len(output["files"]) - len(kept) + int(output.get("filesOmitted") or 0)
        output |= {"files": kept, **({"filesOmitted": dropped} if dropped else {})}
    if "output" in small:
        small["output"] = output
    error = dict(small.get("error") or {})
    if error:
        error["stackTrace"] = str(error.get("stackTrace", ""))[-MINIMAL_BYTES:]
        error["message"] = str(error.get("message", ""))[:MINIMAL_BYTES]
        small["error"] = error
    small["message"] = str(small.get("message", ""))[:MINIMAL_BYTES]
    return small


def bare_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """The same end in a kilobyte or two, for an object whose spec leaves room for no more. Of a
    result that is left out its size is told, and where it is."""
    kept = ("state", "reason", "observedGeneration", "completionTime", "startTime", "attempt")
    bare: dict[str, Any] = {
        key: status[key] for key in (*kept, "exitCode", *TERMS) if key in status
    }
    omitted = ""
    if "result" in status:
        text = json.dumps(status["result"], ensure_ascii=False, separators=(",", ":"))
        size_bytes = len(text.encode("utf-8", "surrogatepass"))
        bare["resultOmittedBytes"] = size_bytes
        omitted = (
            f" There was no room in the object for the result of {size_bytes:,} bytes: it is in"
            " PostgreSQL, in soulbox.executions."
        )
    said = status.get("message", "")
    bare["message"] = str(said)[:_BARE_TEXT] + omitted
    bare["conditions"] = [
        {
            **condition,
            "message": condition["message"][:_BARE_TEXT]
            + (omitted if condition["message"] == said else ""),
        }
        for condition in status.get("conditions") or ()
    ]
    if "output" in status:
        sizes = ("stdoutBytes", "stderrBytes")
        output = {key: status["output"][key] for key in sizes if key in status["output"]}
        bare["output"] = {**lost_output(), **output}
    return bare
