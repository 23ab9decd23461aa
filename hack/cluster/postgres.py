"""The trial's PostgreSQL server, in the background; its parts are pgserver.py's.

`hack/postgres start DIR` prints the DSN, `hack/postgres stop DIR` ends the server and removes
its data.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hack.cluster import pgserver, processes
from hack.cluster.config import NODE_ADDRESS, POD_RANGE, ClusterError
from hack.cluster.pgserver import DataFolder, Installation
from hack.cluster.pki import write_private
from hack.cluster.ports import free_port, is_free

DATABASE = "soulbox"
OWNER = "soulbox"
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as written down in DIR/server.json, which exists once its database does.

    Attributes:
        data: the cluster's folder; outside DIR where DIR cannot be reached by `user`.
        user: the user it runs as; None for the present one.
    """

    data: str
    bindir: str
    user: str | None
    port: int
    password: str

    @property
    def dsn(self) -> str:
        return f"postgresql://{OWNER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def folder(self) -> DataFolder:
        installation = Installation(bindir=Path(self.bindir), user=self.user)
        return DataFolder(installation=installation, path=Path(self.data))


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
    folder = server.folder
    records = directory / "processes"
    if processes.find("postgres", records) is None:
        folder.drop_stale_lock()
        if not is_free(server.port):
            server = replace(server, port=free_port())
            _save(directory, server)
    if for_pods:
        _let_pods_in(folder.path)
    settings = {"listen_addresses": f"127.0.0.1,{NODE_ADDRESS}"} if for_pods else {}
    record = processes.ensure(
        "postgres",
        folder.command(server.port, {**settings, **(_FAST if fast else {})}),
        log=log or directory / "postgres.log",
        user=server.user,
        records=records,
    )
    processes.wait_until(
        "ready PostgreSQL",
        lambda: folder.status(record.pid) == "ready",
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
    pgserver.free_shared_memory(data)
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
        psql = pgserver.find_programs() / "psql"
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
    installation = Installation.ours(bindir)
    server = Server(
        data=str(_data_folder(directory, installation)),
        bindir=str(installation.bindir),
        user=installation.user,
        port=free_port(),
        password=secrets.token_urlsafe(18),
    )
    server.folder.initialise(OWNER, password=server.password, locale="C.UTF-8")
    server.folder.create_database(DATABASE)
    _save(directory, server)
    return server


def _data_folder(directory: Path, installation: Installation) -> Path:
    if installation.user is None or pgserver.is_reachable(directory / "data"):
        data = directory / "data"
        # What an interrupted first start left is no use to initdb.
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
    else:
        data = Path(tempfile.mkdtemp(prefix="soulbox-pg-", dir="/var/tmp"))
    installation.give(data)
    return data


def _let_pods_in(data: Path) -> None:
    rule = f"host all all {POD_RANGE} scram-sha-256\n"
    rules = data / "pg_hba.conf"
    if rule not in rules.read_text():
        with rules.open("a") as file:
            file.write(rule)


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
