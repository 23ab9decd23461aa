"""hack/test, with programs that only say what they are called for: both lanes are seen, and the
first failure ends them all at once."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from hack.cluster.config import HACK

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.system() != "Linux", reason="hack/test runs on Linux"),
]

# The part that its last argument names ends as a file of that name says; "waits" never ends.
PYTEST = """#!/bin/sh
part=$(basename "$(eval echo '$'$#)")
echo "tests of $part"
case "$(cat "$part.does" 2>/dev/null)" in
    fails) exit 1 ;;
    waits) exec sleep 600 ;;
esac
"""
SAYS_NOTHING = "#!/bin/sh\n"
UP = "#!/bin/sh\nmkdir -p .local/logs && touch .local/env\n"
DOWN = "#!/bin/sh\nrm -r .local\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with hack/test and what it calls."""
    programs = {
        ".venv/bin/pytest": PYTEST,
        "hack/up": UP,
        "hack/down": DOWN,
        **{f"hack/{name}": SAYS_NOTHING for name in ("helm", "pgbouncer", "postgres-15")},
    }
    for name, text in programs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    shutil.copy(HACK / "test", tmp_path / "hack/test")
    return tmp_path


def run(checkout: Path, *parts: str) -> tuple[int, str]:
    """Exit code and everything that it said."""
    done = subprocess.run(
        [checkout / "hack/test", *parts],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200, check=False,
        env={**os.environ, "PATH": f"{checkout}:{os.environ['PATH']}"},
    )  # fmt: skip
    return done.returncode, done.stdout


def test_both_lanes_are_seen_whole_one_after_the_other(checkout: Path) -> None:
    code, said = run(checkout, "gitops", "site", "e2e", "api")
    assert code == 0, said
    order = [line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("tests of")]
    assert order == ["gitops", "site", "e2e", "e2e", "api"]
    assert "all passed: gitops site e2e api" in said
    assert not (checkout / ".local").exists(), "down came"


@pytest.mark.parametrize(("fails", "waits"), [("e2e", "site"), ("site", "e2e")])
def test_failure_of_one_lane_ends_the_other_at_once(checkout: Path, fails: str, waits: str) -> None:
    (checkout / f"{fails}.does").write_text("fails")
    (checkout / f"{waits}.does").write_text("waits")
    code, said = run(checkout, "gitops", "site", "e2e", "api")
    assert code == 1, said
    assert f"tests of {fails}\n" in said
    assert "tests of api" not in said
    assert "all passed" not in said
    logs = checkout / ".test-logs"
    assert f"tests of {fails}\n" in "".join(log.read_text() for log in logs.glob("*.log"))
    assert not (checkout / ".local").exists(), "down came"


def test_parts_of_one_lane_are_shown_as_they_come(checkout: Path) -> None:
    code, said = run(checkout, "e2e")
    assert code == 0, said
    assert said.count("tests of e2e") == 2
