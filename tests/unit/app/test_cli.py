"""The command: wrong settings are one line and exit code 2, and no secret is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soulbox.app.cli import app, main

DSN = "postgresql://soulbox:s3cret@127.0.0.1:1/soulbox"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own environment says nothing."""
    for name in tuple(os.environ):
        if name.startswith("SOULBOX_"):
            monkeypatch.delenv(name)


WRONG: dict[str, tuple[list[str], dict[str, str], str]] = {
    "no database": (["operator"], {}, "no database is set: give SOULBOX_DSN"),
    "the spelling that processes are found by": (
        ["run", "--operator", "--log-level", "info"],
        {},
        "no database is set: give SOULBOX_DSN",
    ),
    "two databases": (
        ["operator"],
        {"SOULBOX_DSN": DSN, "SOULBOX_DSN_FILE": "/nowhere"},
        "only one of dsn and dsn_file can be set: remove the other",
    ),
    "a config file that is not there": (
        ["operator", "--config", "/nowhere/soulbox.yaml"],
        {"SOULBOX_DSN": DSN},
        "--config: cannot read /nowhere/soulbox.yaml: No such file or directory",
    ),
    "a number that is too small": (
        ["operator"],
        {"SOULBOX_DSN": DSN, "SOULBOX_WORKERS": "0"},
        "workers (SOULBOX_WORKERS): Input should be greater than or equal to 1",
    ),
    "a log level that is none": (
        ["operator", "--log-level", "loud"],
        {"SOULBOX_DSN": DSN},
        "log_level (SOULBOX_LOG_LEVEL): Input should be 'debug', 'info', 'warning' or 'error'",
    ),
    "an address that is none": (
        ["operator", "--http-listen", "8080"],
        {"SOULBOX_DSN": DSN},
        "http_listen (SOULBOX_HTTP_LISTEN): write it as host:port",
    ),
    "a number that is too small, for a command for people": (
        ["doctor"],
        {"SOULBOX_DSN": DSN, "SOULBOX_WORKERS": "0"},
        "workers (SOULBOX_WORKERS): Input should be greater than or equal to 1",
    ),
    "a DSN file that is not there": (
        ["migrate"],
        {"SOULBOX_DSN_FILE": "/nowhere/dsn"},
        "dsn_file (SOULBOX_DSN_FILE): cannot read /nowhere/dsn",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_setting_is_one_line_and_exit_code_2(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, environment, want_line = WRONG[name]
    monkeypatch.setattr(sys, "argv", ["soulbox", *arguments])
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"soulbox: {want_line}")
    assert err.count("\n") == 1
    assert "s3cret" not in err


def test_database_that_cannot_be_reached_is_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOULBOX_DSN", DSN)
    monkeypatch.setattr(sys, "argv", ["soulbox", "migrate"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("soulbox: cannot connect to PostgreSQL")
    assert err.count("\n") == 1
    assert "s3cret" not in err


@pytest.mark.parametrize(
    "command",
    [
        "operator",
        "migrate",
        "doctor",
        "watch",
        "usage",
        "query newest",
        "db doctor",
        "db backup x",
        "billing verify",
        "prices list",
    ],
)
def test_no_flag_takes_a_secret(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags stand in the list of processes."""
    done = CliRunner().invoke(app, [*command.split(), "--dsn", DSN])
    assert done.exit_code == 2
    assert "No such option" in done.output


def soulbox(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "soulbox", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere"} | environment,
    )


@pytest.mark.slow
def test_command_without_credentials_for_the_cluster_is_one_line(tmp_path: Path) -> None:
    done = soulbox("operator", "--kubeconfig", str(tmp_path / "none"), SOULBOX_DSN=DSN)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("soulbox: no usable Kubernetes credentials: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_commands_for_people_start_without_the_operator_and_the_database_driver() -> None:
    """They would take twice as long to start."""
    program = """
import sys
import soulbox.app.cli, soulbox.app.commands.running
import soulbox.app.commands.reading, soulbox.app.commands.watching
packages = {".".join(name.split(".")[:2]) for name in sys.modules}
print(*sorted(packages & set(sys.argv[1:])))
"""
    heavy = (
        "aiohttp.web",
        "kopf",
        "psycopg",
        "pydantic_settings",
        "soulbox.kinds",
        "soulbox.mirror",
    )
    heavy += ("soulbox.reconcile", "soulbox.store")
    done = subprocess.run(
        [sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_flag_that_does_not_exist_is_exit_code_2() -> None:
    result = CliRunner().invoke(app, ["operator", "--no-such-flag"])
    assert result.exit_code == 2
    assert "--no-such-flag" in result.output


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("operator", "migrate", "version"):
        assert command in result.output


def test_version_is_the_package_s() -> None:
    result = CliRunner().invoke(app, ["version"])
    assert result.exit_code == 0
    assert result.output.strip() == version("soulbox")
