"""`soulbox call`: from a command line to an Execution, and from its end to a shell."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soulbox.app.commands.calling import format_result
from tests.support import fake_api
from tests.support.fake_api import Refusal
from tests.unit.commands.conftest import NAMESPACE, Shell


def make_function(name: str = "resize") -> dict[str, Any]:
    return {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"code": "def main(input): ...", "handler": "main"},
        "status": {"version": "1.1.0", "versions": [{"version": "1.1.0"}, {"version": "1.0.0"}]},
    }


@pytest.fixture
def cluster(shell: Shell) -> Shell:
    """A cluster whose operator is away, with a Function."""
    shell.api.add("functions", make_function())
    return shell


def ended(shell: Shell, **status: Any) -> None:
    """Let each new Execution have ended so."""
    final = {"completionTime": "2026-01-02T03:04:07Z", **status}
    shell.patch.setitem(fake_api.STATUS_DEFAULTS, "executions", final)  # type: ignore[arg-type]


def call(shell: Shell, *arguments: str) -> tuple[int, str, str]:
    return shell.call("call", "-n", NAMESPACE, *arguments)


def started(shell: Shell, *arguments: str) -> dict[str, Any]:
    code, out, err = call(shell, "--detach", *arguments)
    assert code == 0, err
    return shell.api.get("executions", NAMESPACE, out.strip())


def test_only_what_is_asked_for_stands_in_the_spec(cluster: Shell) -> None:
    found = started(cluster, "resize")
    assert found["spec"] == {"functionRef": {"name": "resize"}}
    assert found["metadata"]["name"].startswith("resize-")
    assert "annotations" not in found["metadata"]


def test_everything_that_is_asked_for_stands_in_the_spec(cluster: Shell) -> None:
    found = started(
        cluster, "resize@1.0.0", "--input", '{"a": null}', "--timeout", "1m", "--ttl", "0",
        "--queue-timeout", "2m", "--user", "me", "--name", "mine", "-l", "team=a",
    )  # fmt: skip
    assert (found["metadata"]["name"], found["metadata"]["labels"]) == ("mine", {"team": "a"})
    assert found["spec"] == {
        "functionRef": {"name": "resize", "version": "1.0.0"},
        "input": {"a": None},
        "timeoutSeconds": 60,
        "queueTimeoutSeconds": 120,
        "ttlSecondsAfterFinished": 0,
        "user": "me",
    }


def test_input_comes_from_a_file_or_standard_input(cluster: Shell, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text('["ä"]')
    assert started(cluster, "resize", "--input", f"@{path}")["spec"]["input"] == ["ä"]
    cluster.patch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b" null ")))
    assert started(cluster, "resize", "--input", "-")["spec"]["input"] is None


WRONG = {
    "no version": (["resize@"], "write NAME, or NAME@VERSION"),
    "no name": (["@1.0.0"], "write NAME, or NAME@VERSION"),
    "not JSON": (["resize", "--input", "{a}"], "--input: it is not JSON"),
    "no number": (["resize", "--input", "[NaN]"], "NaN is no number of JSON's"),
    "too deep": (["resize", "--input", "[" * 200_000], "--input: it is not JSON"),
    "no such file": (["resize", "--input", "@/none"], "--input: cannot read /none"),
    "gone and followed": (["resize", "-d", "-f"], "--detach does not wait for the end"),
    "gone and deleted": (["resize", "-d", "--rm"], "use --ttl instead of --rm"),
    "live and an object": (["resize", "-f", "-o", "json"], "use one of them"),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_command_line_makes_nothing(words: str, cluster: Shell) -> None:
    arguments, want = WRONG[words]
    code, out, err = call(cluster, *arguments)
    assert (code, out) == (2, "")
    assert want in " ".join(err.replace("│", " ").split())
    assert cluster.api.named("executions") == []


def test_function_that_is_not_there_is_named_with_near_ones(cluster: Shell) -> None:
    code, out, err = call(cluster, "resise")
    assert (code, out) == (125, "")
    assert "there is no Function resise in namespace team-a; did you mean resize?" in err
    assert cluster.api.named("executions") == []


def test_person_who_may_not_read_functions_can_call_them(cluster: Shell) -> None:
    cluster.api.refuse("get", "functions", Refusal(403, "Forbidden", "may not"))
    assert started(cluster, "resize")["spec"]["functionRef"] == {"name": "resize"}


def test_result_alone_is_on_stdout(cluster: Shell) -> None:
    ended(cluster, state="Completed", reason="Completed", result={"b": "ä", "a": [1, None]})
    code, out, err = call(cluster, "resize")
    assert (code, out, err) == (0, '{"b":"ä","a":[1,null]}\n', "")
    assert len(cluster.api.named("executions")) == 1
    code, out, err = call(cluster, "resize", "--rm")
    assert code == 0
    assert len(cluster.api.named("executions")) == 1


def test_null_is_a_result_and_none_is_none(cluster: Shell) -> None:
    ended(cluster, state="Completed", reason="Completed")
    assert call(cluster, "resize") == (0, "", "")
    found = cluster.json("call", "-n", NAMESPACE, "resize")
    assert found["kind"] == "Execution"


def test_result_that_is_not_in_the_object_is_no_success(cluster: Shell) -> None:
    message = "It ended. There was no room in the object for the result of 60,023 bytes."
    ended(
        cluster, state="Completed", reason="Completed", message=message, resultOmittedBytes=60_023
    )
    code, out, err = call(cluster, "resize", "--name", "mine")
    assert (code, out) == (125, "")
    assert err == f"soulbox: Execution mine: {message}\n"
    told = cluster.call("get", "execution/mine", "-n", NAMESPACE)[1]
    assert "60,023 bytes, not in the object" in told


ENDS: dict[str, tuple[dict[str, Any], int]] = {
    "the program's own": ({"state": "Failed", "reason": "NonZeroExit", "exitCode": 7}, 7),
    "its input": ({"state": "Failed", "reason": "InputInvalid"}, 125),
    "its result": ({"state": "Failed", "reason": "ResultInvalid", "exitCode": 0}, 125),
    "no Function": ({"state": "Failed", "reason": "FunctionNotFound"}, 125),
    "no version": ({"state": "Failed", "reason": "VersionNotFound"}, 125),
    "suspended": ({"state": "Failed", "reason": "FunctionSuspended"}, 125),
    "too long": ({"state": "Timeout", "reason": "TimedOut"}, 124),
    "cancelled": ({"state": "Cancelled", "reason": "Cancelled"}, 130),
}


@pytest.mark.parametrize("words", ENDS)
def test_end_that_is_not_good_is_explained_on_stderr(words: str, cluster: Shell) -> None:
    status, want = ENDS[words]
    output = {"stdout": "printed\n", "stdoutBytes": 8, "stderr": "Traceback", "stderrBytes": 9}
    ended(cluster, **status, message="because\nof that", output=output, result=1)
    code, out, err = call(cluster, "resize", "--name", "mine")
    assert (code, out) == (want, "")
    said = f"soulbox: Execution mine: {status['state']}/{status['reason']}: because of that\n"
    assert err == f"Traceback\n{said}"


def test_terminal_gets_lines_without_what_could_take_it_over() -> None:
    result = {"a": "\x9b2J\u202e", "b": ["ä"]}
    shown = format_result(result, for_terminal=True)
    assert shown.splitlines()[2:] == ['  "b": [', '    "ä"', "  ]", "}"]
    assert "\x9b" not in shown
    assert json.loads(format_result(result, for_terminal=False)) == result


def test_functions_and_versions_are_completed(cluster: Shell) -> None:
    from soulbox.app.kubectl_complete import main

    cluster.api.add("functions", make_function("rotate"))

    def ask(word: str) -> list[str]:
        words = ["call", "-n", NAMESPACE, "--kubeconfig", cluster.kubeconfig, word]
        cluster.patch.setattr("sys.argv", ["kubectl_complete-soulbox", *words])
        for name in ("_SOULBOX_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
            cluster.patch.setenv(name, "")  # so that what the command sets is undone
        main()
        return cluster.capture.readouterr().out.splitlines()[:-1]

    assert ask("") == ["resize", "rotate"]
    assert ask("ro") == ["rotate"]
    assert ask("resize") == ["resize", "resize@1.1.0", "resize@1.0.0"]
    assert ask("resize@") == ["resize@1.1.0", "resize@1.0.0"]
    assert ask("resize@1.0") == ["resize@1.0.0"]
