"""`soulbox create`, `suspend`, `resume`, `keep-alive` and `delete`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import typer

from soulbox.app.commands.durations import in_words, parse_seconds
from soulbox.app.commands.shaping import lifetime_for
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class
from tests.unit.commands.conftest import NAMESPACE, Shell

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def create(shell: Shell, *arguments: str) -> dict[str, Any]:
    shell.api.add("sandboxclasses", make_sandbox_class("python"))
    code, _, err = shell.call("create", "box", "--no-wait", "-n", NAMESPACE, *arguments)
    assert code == 0, err
    return shell.api.get("sandboxes", NAMESPACE, "box")


def test_sandbox_that_asks_for_nothing_names_its_class_alone(shell: Shell) -> None:
    assert create(shell)["spec"] == {"className": "python"}


def test_everything_that_is_asked_for_stands_in_the_spec(shell: Shell) -> None:
    found = create(
        shell, "--cpu", "500m", "--memory", "512Mi", "--disk", "2Gi", "--network", "web",
        "--lifetime", "2h", "--idle-timeout", "15m", "--timeout", "30", "--concurrency", "3",
        "--persistent", "-e", "A=1", "--env-from-secret", "KEY=vault/token", "--user", "mia",
        "-l", "team=a",
    )  # fmt: skip
    assert found["metadata"]["labels"] == {"team": "a"}
    assert found["spec"] == {
        "className": "python",
        "resources": {"cpu": "500m", "memory": "512Mi", "disk": "2Gi"},
        "network": "web",
        "lifetimeSeconds": 7200,
        "idleTimeoutSeconds": 900,
        "defaultTimeoutSeconds": 30,
        "maxConcurrentExecutions": 3,
        "workspace": {"persistent": True},
        "env": [
            {"name": "A", "value": "1"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "token"}}},
        ],
        "user": "mia",
    }


def test_class_that_does_not_exist_is_named_before_anything_is_made(shell: Shell) -> None:
    shell.api.add("sandboxclasses", make_sandbox_class("python"))
    shell.api.add("executions", make_execution("any", NAMESPACE))
    code, _, err = shell.call("create", "box", "--class", "pyton", "-n", NAMESPACE)
    assert (code, err) == (1, "soulbox: there is no SandboxClass pyton; did you mean python?\n")
    assert shell.api.named("sandboxes") == []


def conditions(shell: Shell, **statuses: str) -> None:
    found = [
        {"type": name, "status": value, "observedGeneration": 1} for name, value in statuses.items()
    ]
    status = {"state": "Error", "message": "too\nlarge", "conditions": found}
    shell.api.edit("sandboxes", NAMESPACE, "box", {"status": status})


def test_suspend_and_resume_change_what_is_not_so_yet(shell: Shell) -> None:
    shell.api.add("sandboxes", make_sandbox("box", NAMESPACE))
    shell.api.add("sandboxes", make_sandbox("off", NAMESPACE, suspend=True))
    code, out, _ = shell.call("suspend", "box", "off", "-n", NAMESPACE)
    assert (code, out.splitlines()) == (
        0,
        ["sandbox box is being suspended", "sandbox off is already suspended"],
    )
    assert shell.api.get("sandboxes", NAMESPACE, "box")["spec"]["suspend"] is True
    found = shell.json("resume", "box", "off", "-n", NAMESPACE)
    assert [one["spec"]["suspend"] for one in found["items"]] == [False, False]
    assert "is not suspended" in shell.call("resume", "box", "-n", NAMESPACE)[1]


LIFETIMES: dict[str, tuple[dict[str, Any], dict[str, Any], int | None]] = {
    # spec, status, lifetimeSeconds wanted for 3600 s from noon on
    "it runs for an hour": (
        {"lifetimeSeconds": 4000},
        {"startTime": "2026-01-02T11:00:00Z", "expirationTime": "2026-01-02T12:06:40Z"},
        7200,
    ),
    "it lives longer": (
        {},
        {"startTime": "2026-01-02T11:00:00Z", "expirationTime": "2026-01-02T13:00:00Z"},
        None,
    ),
    "it has not started": ({"lifetimeSeconds": 60}, {}, 3600),
    "it has not started, and will live longer": ({"lifetimeSeconds": 3600}, {}, None),
}


@pytest.mark.parametrize("name", LIFETIMES)
def test_lifetime_is_raised_and_never_lowered(name: str) -> None:
    spec, status, want = LIFETIMES[name]
    assert lifetime_for({"spec": spec, "status": status}, 3600, NOON) == want


def test_keep_alive_raises_the_lifetime(shell: Shell) -> None:
    shell.api.add("sandboxes", make_sandbox("box", NAMESPACE, lifetimeSeconds=60))
    code, out, _ = shell.call("keep-alive", "box", "--for", "1h", "-n", NAMESPACE)
    assert (code, out) == (0, "sandbox box now has a lifetime of 1h\n")
    assert shell.api.get("sandboxes", NAMESPACE, "box")["spec"]["lifetimeSeconds"] == 3600
    _, out, _ = shell.call("keep-alive", "box", "--for", "1m", "-n", NAMESPACE)
    assert out == "sandbox box already lives longer\n"


@pytest.mark.parametrize("command", [("suspend",), ("keep-alive", "--for", "1h")])
def test_terminated_sandbox_is_not_brought_back(shell: Shell, command: tuple[str, ...]) -> None:
    shell.api.add("sandboxes", make_sandbox("box", NAMESPACE))
    shell.api.edit("sandboxes", NAMESPACE, "box", {"status": {"state": "Terminated"}})
    code, _, err = shell.call(command[0], "box", *command[1:], "-n", NAMESPACE)
    assert (code, err) == (
        1,
        "soulbox: Sandbox box is Terminated, for good: create another\n",
    )


def test_delete_takes_both_kinds_and_is_sure_which_is_meant(shell: Shell) -> None:
    shell.api.add("sandboxes", make_sandbox("box", NAMESPACE))
    shell.api.add("executions", make_execution("box", NAMESPACE))
    shell.api.add("executions", make_execution("job", NAMESPACE))
    code, _, err = shell.call("delete", "job", "box", "-n", NAMESPACE)
    assert code == 1
    assert "write execution/box or sandbox/box" in err
    assert shell.api.named("executions") == ["box", "job"], "nothing was deleted"
    code, out, _ = shell.call("delete", "job", "sandbox/box", "-n", NAMESPACE)
    assert (code, out.splitlines()) == (
        0,
        ["execution job is being deleted", "sandbox box is being deleted"],
    )
    assert (shell.api.named("sandboxes"), shell.api.named("executions")) == ([], ["box"])


@pytest.mark.parametrize(
    ("text", "want"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061)],
)
def test_durations_are_read_as_people_write_them(text: str, want: int) -> None:
    assert parse_seconds(text) == want
    assert parse_seconds(in_words(want)) == want


@pytest.mark.parametrize("text", ["", "s", "1.5h", "-1", "1m1h", "1w", "1 h", "1h 5", "\u0661"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a duration"):
        parse_seconds(text)
