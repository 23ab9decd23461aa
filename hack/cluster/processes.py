"""Background processes that outlive `up`: started once, found again, ended by `down`.

Each is written down as RECORDS/<name>.json with its pid and its start time in clock ticks
since boot. A pid is reused sooner or later; a pid with the same start time in the same boot is
not, so nothing else is ever signalled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.cluster.config import RUN_DIR, ClusterError
from hack.cluster.console import as_user, tail

RECORDS = RUN_DIR / "processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One started process; `fingerprint` changes when it should be started anew."""

    name: str
    pid: int
    start_ticks: int
    boot_id: str
    fingerprint: str
    log: str


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name is in parentheses and may hold anything; what follows is fixed.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(record: Record) -> bool:
    return record.boot_id == boot_id() and start_ticks(record.pid) == record.start_ticks


def _read(file: Path) -> Record | None:
    try:
        return Record(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # a record half written when the machine went down names nothing alive


def find(name: str, records: Path = RECORDS) -> Record | None:
    """The record of a process of ours that is alive, else None."""
    record = _read(records / f"{name}.json")
    return record if record is not None and is_alive(record) else None


def recorded(records: Path = RECORDS) -> list[Record]:
    """Every record, alive or not, in the order they were started."""
    files = sorted(records.glob("*.json"), key=lambda file: file.stat().st_mtime)
    return [record for file in files if (record := _read(file)) is not None]


def keep(
    name: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    fingerprint: str = "",
    records: Path = RECORDS,
) -> Record | None:
    """The record of the process if it runs as `ensure` would start it; None when `ensure` will
    start it, and then none of it runs any more."""
    record = find(name, records)
    if record is not None and record.fingerprint != _mark(command, env, fingerprint):
        stop(record, records)
        return None
    return record


def _mark(command: Sequence[str | Path], env: Mapping[str, str] | None, fingerprint: str) -> str:
    words = [str(word) for word in command]
    described = json.dumps([words, fingerprint, sorted((env or {}).items())])
    return hashlib.sha256(described.encode()).hexdigest()


def ensure(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    fingerprint: str = "",
    records: Path = RECORDS,
) -> Record:
    """Start the process unless it runs already with the same command and fingerprint.

    Args:
        env: added to PATH, HOME and LANG, which are all it gets otherwise: the shell that ran
            `up` must not decide over proxies or debug switches of a server.
        user: run as this user with no other groups; None keeps the present one.
        fingerprint: anything whose change must restart it, such as a hash of its files.
    """
    words = [str(word) for word in command]
    record = keep(name, words, env=env, fingerprint=fingerprint, records=records)
    if record is not None:
        return record
    records.mkdir(parents=True, exist_ok=True, mode=0o700)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**_plain_environment(), **(env or {})},
            start_new_session=True,  # Ctrl-C in the terminal that ran `up` must not end it
            **as_user(user),
        )
    process.returncode = 0  # it outlives this program on purpose; Popen would warn about that
    ticks = start_ticks(process.pid)
    if ticks is None:
        raise ClusterError(f"{name} ended at once; its log {log} ends with:\n{tail(log)}")
    record = Record(
        name=name,
        pid=process.pid,
        start_ticks=ticks,
        boot_id=boot_id(),
        fingerprint=_mark(words, env, fingerprint),
        log=str(log),
    )
    file = records / f"{name}.json"
    file.with_suffix(".new").write_text(json.dumps(asdict(record)))
    file.with_suffix(".new").rename(file)
    return record


def _plain_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    sbin = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**kept, "PATH": f"{sbin}:{os.environ.get('PATH', '')}"}


def stop(
    record: Record,
    records: Path = RECORDS,
    *,
    first_signal: int = signal.SIGTERM,
    grace_seconds: float = 10,
) -> None:
    """End the process if it is still ours, by SIGKILL after the grace, and forget it."""
    if is_alive(record):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, first_signal)
        if not _gone_within(record, grace_seconds):
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            _gone_within(record, 5)
    (records / f"{record.name}.json").unlink(missing_ok=True)


def _gone_within(record: Record, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(record):
        if time.monotonic() > deadline:
            return False
        _reap(record.pid)
        time.sleep(0.02)
    return True


def _reap(pid: int) -> None:
    """Collect the exit code if it is a child of this very `up` or `down`."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def kill_strays(programs: Collection[str], folders: Sequence[Path]) -> None:
    """Kill what an `up` that was itself killed left without a record, and wait for its end.

    Only a program of these names, run from one of our folders or told one of them, is meant:
    a person's `tail -f` of a file in there is not.

    Raises:
        ClusterError: one does not end.
    """
    deadline = time.monotonic() + 10
    while strays := _strays(programs, folders):  # again: one may have started another meanwhile
        if time.monotonic() > deadline:
            raise ClusterError(f"these processes do not end on SIGKILL: {sorted(strays)}")
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _strays(programs: Collection[str], folders: Sequence[Path]) -> set[int]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            program = (process / "exe").readlink().name
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            place = (process / "cwd").readlink()
        except OSError:
            continue  # gone, a zombie, or not ours to see
        ours = any(str(folder) in word for folder in folders for word in words) or any(
            place.is_relative_to(folder) for folder in folders
        )
        if ours and program.split("-")[0] in programs:
            found.add(int(process.name))
    return found


def wait_until(
    what: str,
    condition: Callable[[], bool],
    *,
    seconds: float,
    needs: Sequence[Record] = (),
    interval_seconds: float = 0.05,
) -> None:
    """Wait for the condition; say which process failed instead of waiting out the time.

    Raises:
        ClusterError: the time is over, or a process in `needs` ended; with its last log lines.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        for record in needs:
            if not is_alive(record):
                raise ClusterError(
                    f"{record.name} ended while waiting for {what}; "
                    f"{record.log} ends with:\n{tail(Path(record.log))}"
                )
        if time.monotonic() > deadline:
            logs = "".join(f"\n--- {record.log}\n{tail(Path(record.log))}" for record in needs)
            raise ClusterError(f"no {what} within {seconds:.0f} s{logs}")
        time.sleep(interval_seconds)
