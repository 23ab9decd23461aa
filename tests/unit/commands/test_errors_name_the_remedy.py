"""What a person is told when a command cannot do what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from soulbox.app.commands.person import Person, open_person
from soulbox.app.commands.target import Target
from soulbox.kube.resources import EXECUTIONS, SANDBOXES
from soulbox.model.errors import CommandError, ConfigError, SoulBoxError
from tests.unit.kube.scripted import (
    Answer,
    Scripted,
    reply,
    reset,
    serving,
    status,
    write_kubeconfig,
)


@asynccontextmanager
async def person(folder: Path, *answers: Answer) -> AsyncIterator[tuple[Person, Scripted]]:
    async with serving() as server:
        server.script(*answers)
        kubeconfig = Path(write_kubeconfig(folder, server.url, token="t"))
        async with open_person(Target(kubeconfig=kubeconfig, namespace="team-a")) as found:
            yield found, server


def names(*found: str) -> Answer:
    return reply(200, {"items": [{"metadata": {"name": name}} for name in found]})


async def told(folder: Path, *answers: Answer, name: str = "bx") -> str:
    """The words for a Sandbox that is asked for."""
    async with person(folder, *answers) as (someone, _):
        try:
            await someone.find(SANDBOXES, name)
        except CommandError as error:
            return str(error)
        except SoulBoxError as error:
            return str(await someone.explain(error))
    raise AssertionError("it was found")


NOT_FOUND = status(404, "NotFound")
FORBIDDEN = status(403, "Forbidden", 'User "ann" cannot list resource "sandboxes"')
CASES: dict[str, tuple[list[Answer], list[str]]] = {
    "a near name": (
        [NOT_FOUND, names(), names("box", "other")],
        ["there is no Sandbox bx in namespace team-a; did you mean box?"],
    ),
    "no near name": (
        [NOT_FOUND, names(), names("zebra", "yak")],
        ["there is no Sandbox bx in namespace team-a; there are yak, zebra"],
    ),
    "nothing at all": (
        [NOT_FOUND, names(), names()],
        ["nor any other", "kubectl get sandboxes -A"],
    ),
    "may not list": (
        [NOT_FOUND, names(), FORBIDDEN],
        ["there is no Sandbox bx in namespace team-a"],
    ),
    "not installed": (
        [NOT_FOUND],
        ["SoulBox is not installed in the cluster at http", "helm install"],
    ),
    "no rights": (
        [FORBIDDEN],
        [
            'User "ann" cannot',
            "`soulbox-view` and `soulbox-edit`",
            "--clusterrole=soulbox-view",
            "team-a",
        ],
    ),
    "nobody it knows": ([status(401, "Unauthorized")], ["does not know you: log in again"]),
    "no answer": ([reset], ["does not answer", "kubectl config current-context"]),
    "refused for what it says": (
        [status(422, "Invalid", "spec.code: too long")],
        ["spec.code: too long"],
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_error_names_the_remedy_in_one_line(name: str, tmp_path: Path) -> None:
    answers, want = CASES[name]
    words = await told(tmp_path, *answers)
    for part in want:
        assert part in words
    assert "\n" not in words


async def test_namespace_that_does_not_exist_is_named_with_a_near_one(tmp_path: Path) -> None:
    answers = (NOT_FOUND, names(), NOT_FOUND, names("team-b", "default"))
    async with person(tmp_path, *answers) as (someone, _):
        with pytest.raises(SoulBoxError) as caught:
            await someone.kube.create(EXECUTIONS, {}, "team-a")
        words = str(await someone.explain(caught.value))
    assert words == "there is no namespace team-a; did you mean team-b?"


def own_kubeconfig(folder: Path, namespace: str = "") -> Path:
    path = Path(write_kubeconfig(folder, "http://127.0.0.1:1", token="t"))
    if namespace:
        text = path.read_text()
        path.write_text(text.replace("cluster: c\n", f"cluster: c\n    namespace: {namespace}\n"))
    return path


@pytest.mark.parametrize(("named", "want"), [("", "default"), ("mine", "mine")])
async def test_namespace_comes_from_the_context(tmp_path: Path, named: str, want: str) -> None:
    path = own_kubeconfig(tmp_path, named)
    async with open_person(Target(kubeconfig=path)) as someone:
        assert someone.namespace == want
    async with open_person(Target(kubeconfig=path, context="x", namespace="given")) as someone:
        assert someone.namespace == "given"


async def test_context_that_does_not_exist_is_a_config_error(tmp_path: Path) -> None:
    path = own_kubeconfig(tmp_path)
    with pytest.raises(ConfigError, match="no usable Kubernetes credentials"):
        async with open_person(Target(kubeconfig=path, context="nowhere")):
            pass


def complete(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    from soulbox.app.kubectl_complete import main

    monkeypatch.setattr("sys.argv", ["kubectl_complete-soulbox", *words])
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    for name in ("_SOULBOX_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
    main()
    lines: list[str] = capsys.readouterr().out.splitlines()
    return lines


def test_kubectl_is_told_commands_and_no_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    *words, directive = complete("", monkeypatch=monkeypatch, capsys=capsys)
    assert {"run", "logs", "cancel", "get", "top"} <= set(words)
    assert directive == ":4"
    *words, directive = complete("can", monkeypatch=monkeypatch, capsys=capsys)
    assert words == ["cancel"]


def test_completion_without_a_cluster_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = complete("logs", "x", monkeypatch=monkeypatch, capsys=capsys)
    assert lines == [":0"]


def test_reports_and_their_parameters_are_completed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*words: str) -> list[str]:
        return complete(*words, monkeypatch=monkeypatch, capsys=capsys)[:-1]

    assert ask("query", "dash") == ["dashboard"]
    assert ask("query", "executions", "-p", "li") == ["limit="]
    given = ask("query", "executions", "-p", "limit=3", "-p", "")
    assert {"tenant=", "user=", "sandbox="} <= set(given)
    assert "limit=" not in given
