"""Rows of Sandboxes and Executions from manifests, good and malformed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from soulbox.kinds.execution.rows import build_execution_row, build_program_row
from soulbox.kinds.sandbox.rows import build_sandbox_row
from soulbox.model.manifests import is_finished
from soulbox.model.states import ExecutionState
from soulbox.pure.fields import RowContext, RowError
from tests.support.make_mirrored import (
    CLUSTER_UID,
    make_execution,
    make_finished_execution,
    make_running_sandbox,
    make_sandbox,
    merge,
    new_uid,
)

CONTEXT = RowContext(
    cluster_uid=CLUSTER_UID,
    tenant_of=lambda namespace: f"tenant-{namespace}",
    language_of={"python": "python", "bash": "bash"}.get,
)
GONE_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_sandbox_row_shows_all_of_a_running_sandbox() -> None:
    manifest = make_running_sandbox()
    row = build_sandbox_row(manifest, CONTEXT)
    assert row.uid == UUID(manifest["metadata"]["uid"])
    assert row.cluster == UUID(CLUSTER_UID)
    assert (row.tenant, row.user_name, row.namespace) == ("tenant-team-a", "ada", "team-a")
    assert (row.state, row.reason, row.language) == ("running", "Running", "python")
    assert row.resource_limits == {"cpu": "250m", "memory": "256Mi"}
    assert (row.node, row.image_id, row.runtime_class) == ("node-1", "sha256:abc", "gvisor")
    assert row.last_activity_at == datetime(2026, 11, 22, 10, 1, 5, 250_000, tzinfo=UTC)
    assert row.runtime_seconds == Decimal(61)
    assert row.spec["lifetime_seconds"] == 3600
    assert row.labels == {"app": "demo"}
    assert (row.deleted_at, row.cleaned) == (None, False)


def test_sandbox_row_leaves_out_values_of_environment_variables() -> None:
    manifest = make_sandbox(
        spec={
            "env": [
                {"name": "A", "value": "s3cret"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                "malformed",
            ]
        }
    )
    row = build_sandbox_row(manifest, CONTEXT)
    assert row.spec["env"] == [
        {"name": "A"},
        {"name": "B", "value_from": {"secret_key_ref": {"name": "s", "key": "k"}}},
        "malformed",
    ]
    assert "s3cret" not in str(row)


def test_sandbox_row_before_the_first_status_is_created() -> None:
    row = build_sandbox_row(make_sandbox(status=None, spec={"className": None}), CONTEXT)
    assert (row.state, row.class_name, row.incarnation) == ("created", "python", 0)


def test_deleted_at_is_when_deletion_was_asked_for_else_when_it_was_found_gone() -> None:
    deleting = make_sandbox(metadata={"deletionTimestamp": "2026-11-22T11:00:00Z"})
    asked = datetime(2026, 11, 22, 11, tzinfo=UTC)
    row = build_sandbox_row(deleting, CONTEXT)
    assert (row.deleted_at, row.terminated_at, row.state) == (asked, asked, "terminated")
    assert build_sandbox_row(deleting, CONTEXT, gone_at=GONE_AT).deleted_at == asked
    missed = build_sandbox_row(make_running_sandbox(), CONTEXT, gone_at=GONE_AT)
    assert (missed.deleted_at, missed.terminated_at, missed.state) == (GONE_AT, None, "terminated")
    execution = build_execution_row(make_execution(), CONTEXT, gone_at=GONE_AT)
    assert execution.deleted_at == GONE_AT


MALFORMED_SANDBOXES: dict[str, tuple[dict[str, Any], str]] = {
    "no uid": ({"metadata": {"uid": None}}, "metadata.uid is not a UUID"),
    "uid of another kind": ({"metadata": {"uid": "x"}}, "metadata.uid is not a UUID"),
    "no version": ({"metadata": {"resourceVersion": None}}, "metadata.resourceVersion"),
    "version that is no number": ({"metadata": {"resourceVersion": "a1"}}, "resourceVersion"),
    "version of other digits": ({"metadata": {"resourceVersion": "٣"}}, "resourceVersion"),
    "version over 63 bits": ({"metadata": {"resourceVersion": "9" * 19}}, "resourceVersion"),
    "version of 100 digits": ({"metadata": {"resourceVersion": "9" * 100}}, "resourceVersion"),
    "never created": ({"metadata": {"creationTimestamp": None}}, "creationTimestamp is missing"),
    "created at no time": ({"metadata": {"creationTimestamp": "now"}}, "not an RFC 3339 time"),
    "created in no zone": (
        {"metadata": {"creationTimestamp": "2026-11-22T10:00:00"}},
        "metadata.creationTimestamp is not an RFC 3339 time",
    ),
    "status is text": ({"status": "Running"}, "status is not an object"),
    "state is a number": ({"status": {"state": 5}}, "text was expected, not int"),
    "incarnation is text": ({"status": {"incarnation": "1"}}, "status.incarnation is not a whole"),
    "incarnation is true": ({"status": {"incarnation": True}}, "status.incarnation is not a whole"),
    "start is a number": ({"status": {"startTime": 5}}, "status.startTime is not an RFC 3339"),
    "runtime is a list": ({"status": {"runtimeSeconds": []}}, "runtimeSeconds is not a number"),
    "runtime is no number": ({"status": {"runtimeSeconds": "x"}}, "runtimeSeconds is not a number"),
    "runtime is infinite": ({"status": {"runtimeSeconds": "inf"}}, "not a finite number"),
}


@pytest.mark.parametrize("what", MALFORMED_SANDBOXES)
def test_malformed_sandbox_is_refused_by_name_of_the_field(what: str) -> None:
    changes, want_message = MALFORMED_SANDBOXES[what]
    manifest = merge(make_running_sandbox(), changes)
    with pytest.raises(RowError, match=want_message.replace("(", r"\(")):
        build_sandbox_row(manifest, CONTEXT)


def test_execution_row_shows_all_of_a_finished_execution() -> None:
    sandbox = new_uid()
    manifest = make_finished_execution(sandbox_uid=sandbox)
    row = build_execution_row(manifest, CONTEXT)
    assert (row.sandbox_uid, row.one_shot) == (UUID(sandbox), False)
    assert row.code_sha256 == hashlib.sha256(b"print(42)").hexdigest()
    assert (row.state, row.reason, row.exit_code, row.duration_ms) == (
        "completed",
        "Completed",
        0,
        250,
    )
    assert (row.stdout, row.stdout_bytes, row.stdout_truncated) == ("42\n", 3, False)
    assert row.started_at == datetime(2026, 11, 22, 10, 0, 1, 250_000, tzinfo=UTC)
    assert row.resource_usage == {
        "cpu_time_milliseconds": 20,
        "peak_memory_bytes": 9_000_000,
        "shared": False,
    }
    assert row.billing is not None
    assert row.billing["cost_usd"] == "0.0000012500"
    assert row.receipt is not None
    assert (row.receipt["image_id"], row.receipt["pod_uid"]) == ("sha256:abc", "a1b2")
    assert row.output_complete
    assert (row.class_name, row.timeout_seconds, row.output_limit_bytes) == (
        "python",
        300,
        10 << 20,
    )


def test_class_of_an_execution_is_its_place_s_whatever_its_labels_say() -> None:
    label = {"metadata": {"labels": {"soulbox.dev/class": "gold"}}}
    waiting = build_execution_row(make_execution(**label), CONTEXT)
    assert (waiting.class_name, waiting.timeout_seconds) == (None, None)
    manifest = merge(make_finished_execution(spec={"language": None}), label)
    row = build_execution_row(manifest, CONTEXT)
    assert (row.class_name, row.language) == ("python", "python")
    own = merge(manifest, {"spec": {"sandboxRef": None, "className": "bash"}})
    assert build_execution_row(own, CONTEXT).class_name == "bash"


def test_call_of_a_function_says_which_what_for_what_with_and_what_came_of_it() -> None:
    uid = new_uid()
    program = build_execution_row(make_finished_execution(), CONTEXT)
    assert (program.kind, program.cause, program.input, program.result) == ("program", *[None] * 3)
    call = make_finished_execution(
        metadata={"labels": {"soulbox.dev/function-uid": uid}},
        spec={
            "functionRef": {"name": "resize"},
            "input": {"camelCase": [1, {"inHere": None}]},
            "cause": {
                "kind": "Trigger",
                "name": "nightly",
                "uid": uid,
                "eventID": "1.7",
                "scheduledTime": "t",
                "attempt": 2,
            },
        },
        status={"functionVersion": "1.2.0", "result": "a\x00b"},
    )
    row = build_execution_row(call, CONTEXT)
    assert (row.kind, row.function_uid, row.function_version) == ("function", UUID(uid), "1.2.0")
    assert row.input == {"camelCase": [1, {"inHere": None}]}
    assert row.cause == {
        "kind": "Trigger",
        "name": "nightly",
        "uid": uid,
        "event_id": "1.7",
        "scheduled_time": "t",
        "attempt": 2,
    }
    assert (row.trigger_uid, row.event_id) == (UUID(uid), "1.7")
    app = merge(call, {"spec": {"cause": {"kind": "App"}}})
    assert build_execution_row(app, CONTEXT).trigger_uid is None
    assert (row.result, row.cleaned) == ("a\ufffdb", True)
    asked_for = merge(call, {"spec": {"functionRef": {"version": "1.1.0"}}})
    waiting = merge(asked_for, {"metadata": {"labels": None}, "status": {"functionVersion": None}})
    row = build_execution_row(waiting, CONTEXT)
    assert (row.kind, row.function_uid, row.function_version) == ("function", None, "1.1.0")
    labelled = make_execution(metadata={"labels": {"soulbox.dev/function-uid": uid}})
    assert build_execution_row(labelled, CONTEXT).function_uid is None


def test_execution_row_before_the_first_status_is_queued() -> None:
    row = build_execution_row(make_execution(status=None), CONTEXT)
    assert (row.state, row.stdout, row.output_complete) == ("queued", None, False)


def test_one_shot_has_no_sandbox_whatever_its_labels_say() -> None:
    manifest = make_execution(spec={"sandboxRef": None, "className": "bash", "language": None})
    manifest["metadata"]["labels"] = {"soulbox.dev/sandbox-uid": new_uid()}
    row = build_execution_row(manifest, CONTEXT)
    assert (row.one_shot, row.sandbox_uid) == (True, None)
    assert (row.class_name, row.language) == ("bash", "bash")


def test_label_that_is_no_uuid_counts_as_none() -> None:
    manifest = make_execution(metadata={"labels": {"soulbox.dev/sandbox-uid": "'; drop"}})
    assert build_execution_row(manifest, CONTEXT).sandbox_uid is None


OUTPUTS: dict[str, tuple[dict[str, Any] | None, bool]] = {
    "code never started": (None, True),
    "both streams empty": ({"stdout": "", "stderr": "", "stdoutBytes": 0, "stderrBytes": 0}, True),
    "flagged as cut": ({"stdout": "a", "stdoutBytes": 1, "stdoutTruncated": True}, False),
    "lost with its pod": ({"stdout": "", "stdoutTruncated": True}, False),
    "fewer bytes than written": ({"stdout": "a", "stdoutBytes": 2}, False),
    "counted in bytes, not characters": ({"stdout": "é", "stdoutBytes": 2}, True),
    "replaced bytes that are as long": ({"stdout": "\ufffd", "stdoutBytes": 3}, False),
    "a true U+FFFD, by its hash": (
        {
            "stdout": "\ufffd",
            "stdoutBytes": 3,
            "stdoutSha256": hashlib.sha256("\ufffd".encode()).hexdigest(),
        },
        True,
    ),
    "another hash": ({"stdout": "a", "stdoutBytes": 1, "stdoutSha256": "0" * 64}, False),
    "bytes without text": ({"stderrBytes": 5}, False),
}


@pytest.mark.parametrize("what", OUTPUTS)
def test_output_is_complete_when_the_status_holds_every_byte(what: str) -> None:
    output, want = OUTPUTS[what]
    manifest = make_finished_execution()
    manifest["status"]["output"] = output
    assert build_execution_row(manifest, CONTEXT).output_complete is want


def test_output_of_a_running_execution_is_not_complete() -> None:
    running = make_finished_execution(status={"state": "Running"})
    assert not build_execution_row(running, CONTEXT).output_complete


def test_code_from_elsewhere_is_known_by_its_hash_only() -> None:
    code = {"code": None, "codeFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    told = "ab" * 32
    for annotation, want in ((told, told), ("AB" * 32, None), ("x" * 64, None), (None, None)):
        manifest = make_execution(
            spec=code, metadata={"annotations": {"soulbox.dev/code-sha256": annotation}}
        )
        assert build_execution_row(manifest, CONTEXT).code_sha256 == want
        assert build_program_row(manifest, CONTEXT) is None


def test_program_row() -> None:
    row = build_program_row(make_execution(spec={"code": "é", "user": "ada"}), CONTEXT)
    assert row is not None
    assert (row.tenant, row.user_name, row.code, row.code_bytes) == (
        "tenant-team-a",
        "ada",
        "é",
        2,
    )
    with pytest.raises(RowError, match=r"spec\.code is not text"):
        build_program_row(make_execution(spec={"code": 5}), CONTEXT)


def test_text_postgresql_cannot_hold_is_replaced_and_flagged() -> None:
    manifest = make_finished_execution(stdout="a\x00b\ud800c", spec={"code": "x = '\x00'"})
    manifest["status"]["error"] = {"type": "E", "message": "\x00", "stackTrace": ["\udfff"]}
    row = build_execution_row(manifest, CONTEXT)
    assert row.stdout == "a\ufffdb\ufffdc"
    assert row.error == {"type": "E", "message": "\ufffd", "stack_trace": ["\ufffd"]}
    assert row.cleaned
    program = build_program_row(manifest, CONTEXT)
    assert program is not None
    assert (program.code, program.cleaned) == ("x = '\ufffd'", True)
    # The hash is of the code as given.
    assert program.code_sha256 == row.code_sha256 == hashlib.sha256(b"x = '\x00'").hexdigest()


def test_text_of_other_scripts_is_not_flagged() -> None:
    row = build_execution_row(make_finished_execution(stdout="日本語 😀\n"), CONTEXT)
    assert (row.stdout, row.cleaned) == ("日本語 😀\n", False)
    dirty = make_running_sandbox(status={"message": "a\x00"})
    assert build_sandbox_row(dirty, CONTEXT).cleaned


MALFORMED_EXECUTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "exit code is text": ({"status": {"exitCode": "0"}}, "status.exitCode is not a whole number"),
    "cut flag is text": (
        {"status": {"output": {"stdoutTruncated": "no"}}},
        "stdoutTruncated is neither true nor false",
    ),
    "output is text": ({"status": {"output": "42"}}, "output is not an object"),
    "error is text": ({"status": {"error": "bad"}}, "error is not an object"),
    "stdout is a number": ({"status": {"output": {"stdout": 5}}}, "text was expected"),
    "labels are a list": ({"metadata": {"labels": []}}, "labels is not an object"),
}


@pytest.mark.parametrize("what", MALFORMED_EXECUTIONS)
def test_malformed_execution_is_refused_by_name_of_the_field(what: str) -> None:
    changes, want_message = MALFORMED_EXECUTIONS[what]
    with pytest.raises(RowError, match=want_message):
        build_execution_row(merge(make_finished_execution(), changes), CONTEXT)


@pytest.mark.parametrize("state", list(ExecutionState))
def test_is_finished(state: ExecutionState) -> None:
    assert is_finished({"status": {"state": state.value}}) is state.is_final


@pytest.mark.parametrize("status", [None, {}, "Completed", {"state": 5}, {"state": "Odd"}])
def test_is_final_state_of_what_has_none(status: object) -> None:
    assert not is_finished({"status": status})


def test_context_refuses_a_cluster_that_is_no_uuid() -> None:
    with pytest.raises(ValueError, match="badly formed"):
        RowContext(cluster_uid="prod", tenant_of=str)
