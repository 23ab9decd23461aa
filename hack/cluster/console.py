"""What a person sees: one line a step, with the seconds since the start."""

from __future__ import annotations

import contextlib
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hack.cluster.config import ClusterError

_STARTED = time.monotonic()
_LOCK = threading.Lock()


def step(text: str) -> None:
    """Print a progress line; steps run in threads too, so whole lines only."""
    with _LOCK:
        print(f"[{time.monotonic() - _STARTED:5.1f}s] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def still(what: str, every_seconds: float = 60) -> Iterator[None]:
    """Say once in a while that a long step goes on, so that nobody thinks it hangs."""
    ended = threading.Event()

    def speak() -> None:
        while not ended.wait(every_seconds):
            step(f"still {what}")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        ended.set()
        speaker.join()


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout_seconds: float = 120,
    user: str | None = None,
) -> str:
    """Run a command to its end and return its standard output.

    Args:
        user: run as this user, with its group and no other; None keeps the present one.

    Raises:
        ClusterError: it is not there, failed or took too long; with the end of its output.
    """
    words = [str(word) for word in command]
    shown = " ".join(words)[:300]
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            words,
            env=env,
            cwd=cwd,
            text=True,
            check=False,
            capture_output=True,
            timeout=timeout_seconds,
            **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}),
            **as_user(user),
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed (wanted for: {shown})") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"no end after {timeout_seconds:.0f} s: {shown}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ClusterError(f"exit code {done.returncode}: {shown}\n{said}")
    return done.stdout


def as_user(name: str | None) -> dict[str, Any]:
    """The arguments of subprocess that run a command as this user; none for None."""
    if name is None:
        return {}
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def succeeds(command: Sequence[str | Path], *, timeout_seconds: float = 30) -> bool:
    """Whether the command can be run and ends with exit code 0."""
    try:
        run(command, timeout_seconds=timeout_seconds)
    except ClusterError:
        return False
    return True


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, each cut to 400 characters."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(line[:400] for line in text.splitlines()[-lines:])
