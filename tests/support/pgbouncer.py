"""A throw-away PgBouncer before a throw-away server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from hack.cluster.console import as_user
from hack.cluster.ports import free_port
from tests.support.postgres_server import SUPERUSER, PostgresServer

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


@dataclass
class PgBouncer:
    """One in transaction mode. Use as a context manager.

    Args:
        server_connections: what all clients of a database share.
    """

    server: PostgresServer
    server_connections: int = 4
    port: int = 0
    _home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="soulbox-bouncer-")))
    _process: subprocess.Popen[bytes] | None = None

    def dsn(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> PgBouncer:
        found = subprocess.run(
            [ROOT / "hack/pgbouncer"], capture_output=True, text=True, check=True
        )
        self.port = free_port()
        self._home.chmod(0o755)
        (self._home / "users").write_text(f'"{SUPERUSER}" ""\n')
        (self._home / "ini").write_text(
            f"""[databases]
* = host=127.0.0.1 port={self.server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {self._home}/users
pool_mode = transaction
default_pool_size = {self.server_connections}
max_client_conn = 100
"""
        )
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [found.stdout.strip(), self._home / "ini"],
                stdout=log,
                stderr=log,
                **as_user("nobody" if os.geteuid() == 0 else None),  # it refuses to run as root
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._home / "log").read_text()[-2000:]) from None
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=START_SECONDS)
        shutil.rmtree(self._home, ignore_errors=True)
