"""What `soulbox get NAME` tells of one object, label and value."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from soulbox.app.commands.captured import omitted_words
from soulbox.app.commands.durations import in_words
from soulbox.app.commands.person import Manifest, status_of
from soulbox.app.commands.show import mebibytes, seconds
from soulbox.app.commands.terminal import one_line
from soulbox.model.manifests import sandbox_ref
from soulbox.model.quantity import format_bytes, parse_bytes

Fact = tuple[str, str]

# Of more Executions only those that are not over, and the last ones.
_LAST_EXECUTIONS: Final = 10
# Of an input or a result; all of it is in -o json.
_JSON_LETTERS: Final = 500


_COUNTED: Final = ("running", "queued", "completed", "failed")


def facts_of(manifest: Manifest, executions: Sequence[Manifest] = ()) -> list[Fact]:
    """Everything that is known; what is not is left out.

    Args:
        executions: those of a Sandbox, oldest first.
    """
    metadata, status = manifest["metadata"], status_of(manifest)
    facts = [
        (str(manifest.get("kind", "Object")), f"{metadata['namespace']}/{metadata['name']}"),
        ("UID", metadata.get("uid")),
        ("Labels", ", ".join(f"{k}={v}" for k, v in (metadata.get("labels") or {}).items())),
        ("State", " ".join(str(status[k]) for k in ("state", "reason") if status.get(k))),
        ("Message", one_line(str(status.get("message", "")))),
    ]
    if manifest.get("kind") == "Sandbox":
        facts += _of_sandbox(manifest, executions)
    else:
        facts += _of_execution(manifest)
    return [(label, str(value)) for label, value in facts if value not in (None, "", "None")]


def _of_sandbox(manifest: Manifest, executions: Sequence[Manifest]) -> list[tuple[str, Any]]:
    spec, status = manifest["spec"], status_of(manifest)
    pod, counts = status.get("pod") or {}, status.get("executions") or {}
    facts: list[tuple[str, Any]] = [
        ("Class", spec.get("className")),
        ("User", spec.get("user")),
        ("Limits", _limits(status.get("resources") or spec.get("resources"))),
        ("Network", spec.get("network", "none")),
        ("Workspace", "persistent" if (spec.get("workspace") or {}).get("persistent") else None),
        ("Suspended", "yes" if spec.get("suspend") else None),
        ("Created", manifest["metadata"]["creationTimestamp"]),
        ("Started", status.get("startTime")),
        ("Last activity", status.get("lastActivityTime")),
        ("Expires", status.get("expirationTime")),
        ("Terminated", status.get("terminationTime")),
        ("Lifetime", _duration(spec.get("lifetimeSeconds"))),
        ("Idle timeout", _duration(spec.get("idleTimeoutSeconds"))),
        ("Default timeout", _duration(spec.get("defaultTimeoutSeconds"))),
        ("Runtime", _duration(status.get("runtimeSeconds"))),
        ("Incarnation", status.get("incarnation")),
        ("Pod", pod.get("name")),
        ("Node", pod.get("node")),
        ("Image", pod.get("imageID")),
        ("Concurrency", spec.get("maxConcurrentExecutions", 1)),
        (
            "Executions",
            ", ".join(f"{counts[state]} {state}" for state in _COUNTED if state in counts),
        ),
    ]
    shown = [one for one in executions if "completionTime" not in status_of(one)]
    shown += [one for one in executions if one not in shown][-_LAST_EXECUTIONS:]
    facts += [
        (
            "Execution",
            " ".join(
                str(part)
                for part in (
                    one["metadata"]["name"],
                    status_of(one).get("state", "Queued"),
                    status_of(one).get("reason", ""),
                )
                if part
            ),
        )
        for one in shown
    ]
    return facts


def _of_execution(manifest: Manifest) -> list[tuple[str, Any]]:
    spec, status = manifest["spec"], status_of(manifest)
    pod, error = status.get("pod") or {}, status.get("error") or {}
    facts: list[tuple[str, Any]] = [
        ("Function", _function(spec, status)),
        ("Class", spec.get("className") or status.get("className")),
        ("Sandbox", sandbox_ref(manifest)),
        ("Handler", spec.get("handler")),
        ("Language", spec.get("language") or status.get("language")),
        ("User", spec.get("user")),
        ("Arguments", " ".join(spec.get("args") or ())),
        ("Cause", _cause(spec.get("cause"))),
        ("Input", _json(spec, "input")),
        ("Timeout", _duration(status.get("timeoutSeconds", spec.get("timeoutSeconds")))),
        ("Output limit", _size(status.get("outputLimitBytes", spec.get("outputLimitBytes")))),
        ("Queue timeout", _duration(spec.get("queueTimeoutSeconds"))),
        ("Priority", spec.get("priority") or None),
        ("Queue position", status.get("queuePosition")),
        ("Attempt", status.get("attempt")),
        ("Exit code", status.get("exitCode")),
        ("Signal", status.get("signal")),
        ("Result", _result(status)),
        ("Created", manifest["metadata"]["creationTimestamp"]),
        ("Started", status.get("startTime")),
        ("Ended", status.get("completionTime")),
        ("Duration", _milliseconds(status)),
        ("Pod", pod.get("name")),
        ("Node", pod.get("node")),
        *_nested("Usage", status.get("usage"), _usage_words),
        *_nested("Billing", status.get("billing"), lambda _, value: str(value)),
        *_nested("Receipt", status.get("receipt"), _plain),
    ]
    output = status.get("output") or {}
    for stream in ("stdout", "stderr"):
        if stream in output:
            cut = ", shown in part" if output.get(f"{stream}Truncated") else ""
            facts.append((stream, f"{output.get(f'{stream}Bytes', 0)} bytes{cut}"))
    facts += [("File", f"{one['path']}, {one['size']} bytes") for one in output.get("files") or ()]
    facts += [
        ("Files omitted", omitted_words(output)),
        ("Error", ": ".join(str(error[k]) for k in ("type", "message") if error.get(k))),
        ("Stack trace", error.get("stackTrace")),
    ]
    return facts


def _function(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str | None:
    called = spec.get("functionRef")
    if called is None:
        return None
    version = status.get("functionVersion") or called.get("version")
    return called["name"] if version is None else f"{called['name']}@{version}"


def _cause(cause: Mapping[str, Any] | None) -> str | None:
    if cause is None:
        return None
    words = {"eventID": "event", "scheduledTime": "scheduled for", "attempt": "attempt"}
    told = [f"{words[field]} {cause[field]}" for field in words if field in cause]
    return ", ".join([f"{cause['kind']} {cause['name']}", *told])


def _json(members: Mapping[str, Any], name: str) -> str | None:
    """The beginning of what it is; null is something too."""
    if name not in members:
        return None
    text = json.dumps(members[name], ensure_ascii=False)
    return text if len(text) <= _JSON_LETTERS else f"{text[:_JSON_LETTERS]}… ({len(text)} letters)"


def _result(status: Mapping[str, Any]) -> str | None:
    omitted_bytes = status.get("resultOmittedBytes")
    if omitted_bytes is None:
        return _json(status, "result")
    return f"{omitted_bytes:,} bytes, not in the object"


def _size(size_bytes: int | None) -> str | None:
    if size_bytes is None:
        return None
    text = format_bytes(int(size_bytes))
    return f"{text} bytes" if text.isdecimal() else text


def _duration(whole_seconds: int | None) -> str | None:
    return None if whole_seconds is None else in_words(int(whole_seconds))


def _milliseconds(status: Mapping[str, Any]) -> str | None:
    duration = status.get("durationMilliseconds")
    return None if duration is None else seconds(duration)


def _nested(
    label: str, document: Mapping[str, Any] | None, words: Callable[[str, Any], str]
) -> list[tuple[str, Any]]:
    """A line a member, its unit not in the label but in the value."""
    return [
        (f"{label} {key.removesuffix('Milliseconds').removesuffix('Bytes')}", words(key, value))
        for key, value in (document or {}).items()
    ]


def _usage_words(key: str, value: Any) -> str:
    if key.endswith("Bytes"):
        return mebibytes(int(value))
    return seconds(value) if key.endswith("Milliseconds") else str(value)


def _plain(key: str, value: Any) -> str:
    if key == "limits":
        return _limits(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _limits(limits: Mapping[str, Any] | None) -> str:
    """cpu 250m, memory 256Mi, disk 1Gi, whether they are written so or in bytes."""
    return ", ".join(
        f"{name} {_binary(str(value)) if name in ('memory', 'disk') else value}"
        for name, value in (limits or {}).items()
    )


def _binary(quantity: str) -> str:
    try:
        size = parse_bytes(quantity)
    except ValueError:
        return quantity
    for unit, power in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size and size % 2**power == 0:
            return f"{size >> power}{unit}"
    return str(size)
