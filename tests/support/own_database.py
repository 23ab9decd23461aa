"""A PostgreSQL of a test's own beside the trial's, and an operator that writes into it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from soulbox.store.migrate import migrate
from tests.support.fix_kube import Kubectl
from tests.support.fix_operator import OperatorProcess
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import World


@dataclass
class OwnDatabase:
    """An operator that serves the test's namespace only, once it is started."""

    server: PostgresServer
    operator: OperatorProcess
    world: World

    def start(self, **more: str) -> None:
        """Start the operator."""
        self.operator.start(**more)

    def figure(self, name: str) -> float | None:
        """A figure of the operator's /metrics; None as long as it does not lead."""
        lines = self.operator.get("/metrics").splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.startswith(name + " ")]
        return float(found[0]) if found else None


@contextmanager
def own_database(
    kubectl: Kubectl, namespace: str, other: OperatorProcess, folder: Path
) -> Iterator[OwnDatabase]:
    """The other operator is ended: it would serve this namespace too."""
    if other.runs:
        other.stop()
    with PostgresServer() as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE soulbox")
        dsn = server.dsn("soulbox")
        migrate(dsn)
        # The other's Lease is one that the ServiceAccount may take.
        operator = OperatorProcess(kubectl, dsn, folder, lease=other.lease, serves=(namespace,))
        world = World(kubectl, namespace, dsn, operator.log)
        try:
            yield OwnDatabase(server, operator, world)
        finally:
            if operator.runs:
                operator.stop()
