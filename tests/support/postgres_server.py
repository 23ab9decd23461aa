"""A throw-away PostgreSQL server: start, stop, kill -9, freeze, start again.

A child of the test, in its process group, with data in a folder of its own; hack/cluster/pgserver
knows the programs and their user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from hack.cluster.console import as_user, tail
from hack.cluster.pgserver import DataFolder, Installation, free_shared_memory, version
from hack.cluster.ports import free_port

START_SECONDS = 60.0
SUPERUSER = "tester"
# fsync off: these servers are killed, the machine under them is not. synchronous_commit
# stays on: without it a commit that was reported may be gone after kill -9.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "120",
    "log_min_messages": "error",
    "autovacuum": "off",
}


def installation() -> Installation:
    """SOULBOX_TEST_PGBIN's, else the newest there is."""
    given = os.environ.get("SOULBOX_TEST_PGBIN")
    return Installation.ours(Path(given) if given else None)


def version_under_test() -> tuple[int, ...]:
    """Of the server that tests run on: (18, 4) for 18.4."""
    return version(installation().bindir)


@dataclass
class PostgresServer:
    """One server. Use as a context manager: at its end nothing is left."""

    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    _folder: DataFolder | None = None
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        home = Path(tempfile.mkdtemp(prefix="soulbox-pg-"))
        # Reachable for the server's user, below a folder nobody can list.
        home.chmod(0o711)
        data = home / "data"
        data.mkdir(mode=0o700)
        self._folder = DataFolder(installation=installation(), path=data)
        self._folder.installation.give(data)
        self._folder.initialise(SUPERUSER, password=None, locale="C")
        self.port = free_port()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder.path.parent, ignore_errors=True)

    @property
    def folder(self) -> DataFolder:
        """Its data; there is none before it was entered."""
        assert self._folder is not None
        return self._folder

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server on its port and wait until it answers."""
        assert self._process is None
        home = self.folder.path.parent
        with (home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.folder.command(self.port, {**SETTINGS, **self.settings}),
                stdout=log,
                stderr=log,
                cwd=home,
                **as_user(self.folder.installation.user),
            )
        deadline = time.monotonic() + START_SECONDS
        while self.folder.status(self._process.pid) not in ("ready", "standby"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(tail(home / "log"))
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down at once: connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """SIGKILL to the postmaster and to each of its processes, then clear what a reboot
        would: its shared memory and the lock file."""
        assert self._process is not None
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(timeout=START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            if time.monotonic() > deadline:
                raise RuntimeError("killed server processes do not go away")
            time.sleep(0.01)
        self._process = None
        free_shared_memory(self.folder.path)
        self.folder.drop_stale_lock()

    def demand_password(self, role: str) -> None:
        """From now on this role needs its password, which `alter role` sets."""
        rules = self.folder.path / "pg_hba.conf"
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute("select pg_reload_conf()")

    def freeze(self) -> None:
        """SIGSTOP: the kernel still takes connections and bytes, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]
    return []
