"""`soulbox get`, `cancel`, `logs` and `top`: what they print of which objects."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from soulbox.app.commands import live
from tests.support.builders import make_execution, make_function, make_sandbox
from tests.support.fake_api import Refusal
from tests.unit.commands.conftest import NAMESPACE, Shell

BOX = ("sandboxes", NAMESPACE, "box")
MIB = 2**20


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def stream(name: str, text: str, *, total: int | None = None) -> dict[str, Any]:
    if total is None:
        return {name: text, f"{name}Bytes": len(text), f"{name}Sha256": sha256(text)}
    return {name: text, f"{name}Bytes": total, f"{name}Truncated": True}


def add(shell: Shell) -> None:
    """A Sandbox that runs one Execution and has ended another."""
    shell.api.add("sandboxes", make_sandbox("box", NAMESPACE))
    pod = {"name": "box-pod", "node": "node-1"}
    status = {"state": "Running", "pod": pod, "executions": {"running": 1, "queued": 2}}
    shell.api.edit(*BOX, {"status": status})
    shell.api.add("executions", make_execution("busy", NAMESPACE))
    shell.api.edit("executions", NAMESPACE, "busy", {"status": {"state": "Running"}})
    shell.api.add("executions", make_execution("done", NAMESPACE))
    end(shell, "done", **stream("stdout", "out\n"), **stream("stderr", "err\n"))


def end(shell: Shell, name: str, state: str = "Completed", reason: str = "", **output: Any) -> None:
    status = {
        "state": state,
        "reason": reason or state,
        "message": "It ended.",
        "exitCode": 0,
        "startTime": "2026-01-02T03:04:06Z",
        "completionTime": "2026-01-02T03:04:07Z",
        "durationMilliseconds": 1250,
        "className": "python",
        "language": "python",
        "timeoutSeconds": 90,
        "outputLimitBytes": 10 * MIB,
        "usage": {"cpuTimeMilliseconds": 40, "peakMemoryBytes": 8 * MIB, "shared": False},
        "receipt": {
            "node": "node-1",
            "limits": {"cpu": "250m", "memory": "268435456"},
            "command": ["python3", "-u"],
        },
        "output": output,
    }
    shell.api.edit("executions", NAMESPACE, name, {"status": status})


def words(text: str, first: str) -> list[str]:
    """The cells of the row that begins so."""
    (line,) = (line for line in text.splitlines() if line.startswith(first + " "))
    return line.split()


def test_get_shows_sandboxes_and_executions(shell: Shell) -> None:
    add(shell)
    code, out, err = shell.call("get", "-n", NAMESPACE)
    assert (code, err) == (0, "")
    assert words(out, "box")[:6] == ["box", "Running", "python", "1", "2", "node-1"]
    assert words(out, "done")[:-1] == (
        ["done", "Completed", "Completed", "0", "1.25", "s", "0.04", "s", "8.0", "MiB", "box"]
    )
    assert words(out, "busy")[:4] == ["busy", "Running", "-", "-"]
    code, out, _ = shell.call("get", "-A")
    assert out.count(NAMESPACE) == 3


def test_get_of_nothing_says_so(shell: Shell) -> None:
    shell.api.add("namespaces", {"metadata": {"name": NAMESPACE}})
    assert shell.call("get", "-n", NAMESPACE)[:2] == (
        0,
        f"no Sandboxes or Executions in namespace {NAMESPACE}\n",
    )
    assert shell.call("get", "-A")[1] == "no Sandboxes or Executions in any namespace\n"


def test_get_in_a_namespace_that_does_not_exist_is_an_error(shell: Shell) -> None:
    shell.api.add("namespaces", {"metadata": {"name": "team-b"}})
    code, out, err = shell.call("get", "-n", NAMESPACE)
    assert (code, out) == (1, "")
    assert err == "soulbox: there is no namespace team-a; did you mean team-b?\n"


def test_get_takes_kinds_and_labels_as_kubectl_does(shell: Shell) -> None:
    add(shell)
    shell.api.add("executions", make_execution("box", NAMESPACE))
    shell.api.edit("executions", NAMESPACE, "box", {"metadata": {"labels": {"team": "a"}}})

    def names(*arguments: str) -> list[str]:
        code, out, err = shell.call("get", "-n", NAMESPACE, "-o", "name", *arguments)
        assert code == 0, err
        return out.split()

    assert names("sandboxes") == names("sbx") == ["sandbox/box"]
    assert sorted(names("executions")) == ["execution/box", "execution/busy", "execution/done"]
    assert names("sandbox", "box") == names("sandbox/box") == ["sandbox/box"]
    assert names("sbe", "box", "done") == ["execution/box", "execution/done"]
    assert names("-l", "team=a") == ["execution/box"]
    code, _, err = shell.call("get", "box", "-n", NAMESPACE)
    assert code == 1
    assert "write execution/box or sandbox/box" in err
    assert "kind: Sandbox" in shell.call("get", "sbx/box", "-o", "yaml", "-n", NAMESPACE)[1]


def test_get_of_a_sandbox_tells_its_limits_end_and_executions(shell: Shell) -> None:
    add(shell)
    spec = {"user": "mia", "lifetimeSeconds": 5400, "network": "web"}
    status = {
        "resources": {"cpu": "250m", "memory": "268435456", "disk": "1Gi"},
        "expirationTime": "2026-01-02T05:00:00Z",
        "incarnation": 2,
        "executions": {"queued": 0, "running": 1, "completed": 3, "failed": 1},
    }
    shell.api.edit(*BOX, {"spec": spec, "status": status})
    code, out, _ = shell.call("get", "box", "-n", NAMESPACE)
    assert code == 0
    facts = [" ".join(line.split()) for line in out.splitlines()]
    for fact in (
        "User mia",
        "Limits cpu 250m, memory 256Mi, disk 1Gi",
        "Network web",
        "Lifetime 1h30m",
        "Expires 2026-01-02T05:00:00Z",
        "Incarnation 2",
        "Executions 1 running, 0 queued, 3 completed, 1 failed",
        "Execution busy Running",
        "Execution done Completed Completed",
    ):
        assert fact in facts


def test_get_of_a_failed_execution_tells_its_error_and_files(shell: Shell) -> None:
    add(shell)
    stack = "Traceback (most recent call last):\n  File \"main.py\", line 3\nKeyError: 'x'"
    files = [{"path": "out/a.csv", "size": 12, "sha256": "0"}]
    status = {
        "error": {"type": "KeyError", "message": "'x'", "stackTrace": stack},
        "output": {"files": files},
    }
    spec = {"language": "python", "timeoutSeconds": 90}
    shell.api.edit("executions", NAMESPACE, "done", {"spec": spec, "status": status})
    _, out, _ = shell.call("get", "done", "-n", NAMESPACE)
    facts = [" ".join(line.split()) for line in out.splitlines()]
    for fact in (
        "Language python",
        "Timeout 1m30s",
        "File out/a.csv, 12 bytes",
        "Error KeyError: 'x'",
        "Stack trace Traceback (most recent call last):",
        "KeyError: 'x'",
    ):
        assert fact in facts


def test_get_as_json_is_a_list_that_names_its_kinds(shell: Shell) -> None:
    add(shell)
    found = shell.json("get", "-n", NAMESPACE)
    assert found["kind"] == "List"
    assert [one["kind"] for one in found["items"]] == ["Sandbox", "Execution", "Execution"]


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("done", "Execution"),
        ("box", "Sandbox"),
        ("sandbox/box", "Sandbox"),
        ("sbe/done", "Execution"),
    ],
)
def test_get_finds_one_by_name_or_kind_and_name(shell: Shell, name: str, want: str) -> None:
    add(shell)
    assert shell.json("get", name, "-n", NAMESPACE)["kind"] == want


def test_get_of_one_tells_all_that_is_known(shell: Shell) -> None:
    add(shell)
    code, out, _ = shell.call("get", "done", "-n", NAMESPACE)
    assert code == 0
    lines = {line.rstrip() for line in out.splitlines()}
    facts = [" ".join(line.split()) for line in lines]
    for fact in (
        f"Execution {NAMESPACE}/done",
        "State Completed Completed",
        "Duration 1.25 s",
        "Usage peakMemory 8.0 MiB",
        "Receipt limits cpu 250m, memory 256Mi",
        "Receipt command python3 -u",
        "Class python",
        "Language python",
        "Timeout 1m30s",
        "Output limit 10Mi",
        "stdout 4 bytes",
    ):
        assert fact in facts


def test_functions_are_shown_and_deleted_by_their_kind(shell: Shell) -> None:
    add(shell)
    shell.api.add("functions", make_function("add", NAMESPACE, description="Adds."))
    status = {"state": "Ready", "reason": "Published", "version": "2"}
    shell.api.edit("functions", NAMESPACE, "add", {"status": status})
    _, out, _ = shell.call("get", "-n", NAMESPACE, "functions")
    assert words(out, "add")[:5] == ["add", "Ready", "Published", "2", "python"]
    for asked in (("sbf", "add"), ("function/add",)):
        code, out, _ = shell.call("get", "-n", NAMESPACE, *asked)
        assert code == 0
        assert words(out, "Version") == ["Version", "2"]
        assert words(out, "Description") == ["Description", "Adds."]
    assert words(shell.call("get", "-n", NAMESPACE)[1], "box"), "Functions are asked for"
    code, out, _ = shell.call("delete", "-n", NAMESPACE, "function/add")
    assert (code, out) == (0, "function add is being deleted\n")
    assert shell.api.named("functions") == []


def test_get_of_a_call_tells_function_input_and_result(shell: Shell) -> None:
    cause = {"kind": "Trigger", "name": "nightly", "uid": "u", "eventID": "1.7.3", "attempt": 2}
    call = make_execution(
        "call", NAMESPACE, functionRef={"name": "add"}, input={"a": "ä" * 600}, cause=cause
    )
    call["status"] = {"state": "Completed", "functionVersion": "1.2.0", "result": None}
    shell.api.add("executions", call)
    code, out, _ = shell.call("get", "-n", NAMESPACE, "call")
    assert code == 0
    facts = dict(line.split(maxsplit=1) for line in out.splitlines() if " " in line)
    assert (facts["Function"], facts["Result"]) == ("add@1.2.0", "null")
    assert facts["Cause"] == "Trigger nightly, event 1.7.3, attempt 2"
    assert facts["Input"].startswith('{"a": "ää')
    assert facts["Input"].endswith("… (609 letters)")


@pytest.mark.parametrize(
    ("arguments", "want_code", "want"),
    [
        (("get", "nothing"), 1, "there is no Execution nothing in namespace team-a"),
        (("get", "pod/box"), 1, "pod: write execution/NAME, sandbox/NAME or function/NAME"),
        (("get", "sandbox/bxo"), 1, "did you mean box?"),
        (("cancel", "don"), 1, "did you mean done?"),
        (("logs", "don"), 1, "did you mean done?"),
    ],
)
def test_name_that_is_not_there_is_told_with_near_ones(
    shell: Shell, arguments: tuple[str, ...], want_code: int, want: str
) -> None:
    add(shell)
    code, out, err = shell.call(*arguments, "-n", NAMESPACE)
    assert (code, out) == (want_code, "")
    assert err.startswith("soulbox: ")
    assert want in err


def test_cancel_asks_and_leaves_what_is_over(shell: Shell) -> None:
    add(shell)
    code, out, _ = shell.call("cancel", "busy", "done", "-n", NAMESPACE)
    assert code == 0
    assert out.splitlines() == [
        "execution busy is being cancelled",
        "execution done has already ended: Completed",
    ]
    assert shell.api.get("executions", NAMESPACE, "busy")["spec"]["cancel"] is True
    assert "cancel" not in shell.api.get("executions", NAMESPACE, "done")["spec"]
    found = shell.json("cancel", "busy", "-n", NAMESPACE)
    assert found["spec"]["cancel"] is True
    assert len(shell.json("cancel", "busy", "done", "-n", NAMESPACE)["items"]) == 2


def test_logs_of_what_the_status_holds_whole_go_to_their_own_streams(shell: Shell) -> None:
    add(shell)
    assert shell.call("logs", "done", "-n", NAMESPACE) == (0, "out\n", "err\n")
    assert shell.json("logs", "done", "-n", NAMESPACE)["stdout"] == "out\n"
    end(shell, "done", "Failed", "Evicted", **stream("stdout", "x"), **stream("stderr", ""))
    code, out, err = shell.call("logs", "done", "-n", NAMESPACE)
    assert (code, out) == (0, "x")
    assert err == "soulbox: Execution done: Failed/Evicted: It ended.\n"


def test_logs_that_are_not_whole_say_what_is_missing_and_where_it_is(shell: Shell) -> None:
    add(shell)
    end(shell, "done", **stream("stdout", "a…z", total=900), **stream("stderr", ""))
    shell.patch.setenv("SOULBOX_OPERATOR_URL", "http://127.0.0.1:1")
    shell.api.refuse("patch", "executions", Refusal(403, "Forbidden", "may not"))
    code, out, err = shell.call("logs", "done", "-n", NAMESPACE)
    assert (code, out) == (0, "a…z")
    assert (
        "only the beginning and end of stdout are shown, 5 of 900 bytes; the rest is in "
        "PostgreSQL: set SOULBOX_DSN, or SOULBOX_OPERATOR_URL\n"
    ) in err


def test_logs_of_a_run_whose_output_was_lost_say_so_at_once(shell: Shell) -> None:
    add(shell)
    lost = {"stdout": "", "stdoutTruncated": True, "stderr": "", "stderrTruncated": True}
    end(shell, "busy", "Failed", "Lost", **lost)
    code, out, err = shell.call("logs", "busy", "-n", NAMESPACE)
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "soulbox: stdout was lost with its pod",
        "soulbox: stderr was lost with its pod",
        "soulbox: Execution busy: Failed/Lost: It ended.",
    ]


def test_logs_of_a_run_that_wrote_more_than_was_kept_say_so(shell: Shell) -> None:
    add(shell)
    kept = {"stdout": "", "stdoutBytes": 100, "stdoutTruncated": True, **stream("stderr", "")}
    end(shell, "done", **kept)
    shell.patch.setenv("SOULBOX_OPERATOR_URL", "http://127.0.0.1:1")
    shell.api.refuse("patch", "executions", Refusal(403, "Forbidden", "may not"))
    code, out, err = shell.call("logs", "done", "-n", NAMESPACE)
    assert (code, out) == (0, "")
    assert "0 of 100 bytes" in err


def test_words_of_others_in_a_table_are_text_and_nothing_more(shell: Shell) -> None:
    add(shell)
    status = {"state": "Failed", "message": "[bold]\x1b[31mEVIL\x1b[0m\x07\x00\nmore"}
    shell.api.edit("executions", NAMESPACE, "done", {"status": status})
    code, out, _ = shell.call("get", "done", "-n", NAMESPACE)
    assert code == 0
    assert "[bold]\\x1b[31mEVIL\\x1b[0m\\x07\\x00 more" in out


@pytest.mark.slow
def test_logs_say_why_postgresql_gives_none(shell: Shell) -> None:
    add(shell)
    end(shell, "done", **stream("stdout", "a…z", total=900), **stream("stderr", ""))
    shell.patch.setenv("SOULBOX_DSN", "postgresql://me:s3cret@127.0.0.1:1/none?connect_timeout=2")
    shell.api.refuse("patch", "executions", Refusal(403, "Forbidden", "may not"))
    code, out, err = shell.call("logs", "done", "-n", NAMESPACE)
    assert (code, out) == (0, "a…z")
    assert "PostgreSQL cannot be read" in err
    assert "s3cret" not in err


@pytest.mark.slow
def test_logs_show_nothing_twice_when_postgresql_gives_one_stream_only(shell: Shell) -> None:
    add(shell)
    end(shell, "done", **stream("stdout", "once\n"), **stream("stderr", "a…z", total=900))
    shell.patch.setenv("SOULBOX_DSN", "postgresql://me@127.0.0.1:1/none?connect_timeout=2")
    shell.patch.setenv("SOULBOX_OPERATOR_URL", "http://127.0.0.1:1")
    shell.patch.setattr(live, "_AFTERWARDS_SECONDS", 0.5)  # for an operator that is not there
    code, out, err = shell.call("logs", "done", "-n", NAMESPACE)
    assert (code, out) == (0, "once\n")
    assert err.count("a…z") == 1
    assert "PostgreSQL cannot be read" in err


def test_logs_of_what_runs_need_the_operator(shell: Shell) -> None:
    add(shell)
    shell.patch.setenv("SOULBOX_OPERATOR_URL", "http://127.0.0.1:1")
    code, _, err = shell.call("logs", "busy", "-n", NAMESPACE)
    assert code == 1
    assert "cannot be read while the program runs: the operator cannot be reached" in err
    annotations = shell.api.get("executions", NAMESPACE, "busy")["metadata"]["annotations"]
    assert len(annotations["soulbox.dev/output-keys-sha256"]) == 64
    code, _, err = shell.call("logs", "busy", "-n", NAMESPACE, "-o", "json")
    assert code == 1
    assert "has not ended yet" in err
    code, _, err = shell.call("logs", "busy", "-f", "-n", NAMESPACE, "-o", "json")
    assert code == 2


def test_keys_of_other_readers_stay_up_to_the_bound(shell: Shell) -> None:
    add(shell)
    shell.patch.setenv("SOULBOX_OPERATOR_URL", "http://127.0.0.1:1")
    for _ in range(10):
        shell.call("logs", "busy", "-n", NAMESPACE)
    annotations = shell.api.get("executions", NAMESPACE, "busy")["metadata"]["annotations"]
    hashes = annotations["soulbox.dev/output-keys-sha256"].split(",")
    assert len(hashes) == len(set(hashes)) == 8


def test_top_without_a_source_says_what_is_missing(shell: Shell) -> None:
    add(shell)
    shell.api.refuse("get", "pods", Refusal(404, "NotFound", "none"))
    code, out, _ = shell.call("top", "-n", NAMESPACE)
    assert code == 0
    assert words(out, "box")[:6] == ["box", "Running", "busy", "2", "-", "-"]
    assert "no metrics-server" in out


def test_top_takes_figures_from_the_metrics_server(shell: Shell) -> None:
    add(shell)
    usage = [{"usage": {"cpu": "250m", "memory": "64Mi"}}, {"usage": {"cpu": "1n", "memory": "0"}}]
    labels = {"app.kubernetes.io/managed-by": "soulbox"}
    metadata = {"name": "box-pod", "namespace": NAMESPACE, "labels": labels}
    shell.api.add("pods", {"metadata": metadata, "containers": usage})
    (row,) = shell.json("top", "-n", NAMESPACE)["items"]
    assert (row["name"], row["running"], row["queued"]) == ("box", ["busy"], 2)
    assert (row["cpuCores"], row["memoryBytes"]) == (0.251, 64 * MIB)
    _, out, _ = shell.call("top", "-A")
    assert "0.25" in out
    assert "64.0 MiB" in out


@pytest.mark.slow
def test_top_of_a_postgresql_that_is_away_says_so(shell: Shell) -> None:
    add(shell)
    shell.api.refuse("get", "pods", Refusal(403, "Forbidden", "may not"))
    shell.patch.setenv("SOULBOX_DSN", "postgresql://me:s3cret@127.0.0.1:1/none?connect_timeout=2")
    code, out, err = shell.call("top", "-n", NAMESPACE)
    assert (code, err) == (0, "")
    assert "CPU and memory are not known: " in out
    assert "s3cret" not in out


def test_top_of_no_sandboxes(shell: Shell) -> None:
    code, out, _ = shell.call("top", "-n", NAMESPACE, "--once")
    assert (code, out.splitlines()[0]) == (0, "no Sandboxes")
    assert json.dumps(shell.json("top", "-n", NAMESPACE)["items"]) == "[]"
