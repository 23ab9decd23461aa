"""The operator as a process, with the rights of its ServiceAccount, for tests on a kubelet.

Alone, it serves the whole cluster and writes into the trial's database. Of several workers of
pytest-xdist each has one of its own, which serves that worker's namespaces only, with a Lease and
a database of its own, as operators with `watchNamespaces` do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from hack.cluster.ports import free_port
from soulbox.store.migrate import migrate
from tests.support.direct import Direct, direct
from tests.support.fix_kube import ROOT, Kubectl, KubectlError
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import World

START_SECONDS = PATIENCE_SECONDS
# Far less than anything that it could wait for at its end.
END_SECONDS = 60.0
NAMESPACE = "soulbox-system"
LEASE = "soulbox-operator"
# Namespaces that a worker's operator serves at a time: it is told of them at its start.
BATCH = 24


class OperatorProcess:
    """`soulbox operator`, started and ended as often as a test likes; its coverage is kept."""

    # However pytest ends, it takes its operators with it: they are sessions of their own.
    command: tuple[str, ...] = (
        "setpriv", "--pdeathsig", "KILL",
        sys.executable, "-m", "coverage", "run", "-m", "soulbox", "operator",
    )  # fmt: skip

    def __init__(
        self,
        kubectl: Kubectl,
        dsn: str,
        folder: Path,
        identity: str = "tests",
        lease: str = LEASE,
        serves: tuple[str, ...] = (),
    ) -> None:
        """`serves`: namespaces, all where there are none; counted at each start."""
        self.kubectl = kubectl
        self.log = folder / "operator.log"
        self._token = folder / "token"
        self._kubeconfig = folder / "kubeconfig"
        self.dsn = dsn
        self.identity = identity
        self.lease = lease
        self.serves = serves
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._write_kubeconfig()

    @property
    def pid(self) -> int:
        """Its process id; it must run."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, **environment: str) -> None:
        """Start it and wait until it serves."""
        assert not self.runs
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={
                    **os.environ,
                    "KUBECONFIG": str(self._kubeconfig),
                    "SOULBOX_DSN": self.dsn,
                    "SOULBOX_HTTP_LISTEN": f"127.0.0.1:{self.port}",
                    # The one before is dead (`_end` waits for it): no need to wait its Lease out.
                    "SOULBOX_LEASE_IDENTITY": self.identity,
                    "SOULBOX_LEASE_NAME": self.lease,
                    "SOULBOX_WATCH_NAMESPACES": ",".join(self.serves),
                    **environment,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers("/healthz"):
            assert self._process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.05)

    def stop(self) -> float:
        """SIGTERM and wait; the seconds it took."""
        return self._end(signal.SIGTERM)

    def kill(self) -> float:
        """SIGKILL."""
        return self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """A signal, and nothing more."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout=seconds)

    def answers(self, path: str) -> bool:
        """Whether a GET answers 200."""
        try:
            return bool(self.get(path))
        except OSError:
            return False

    def get(self, path: str) -> str:
        """Body of a GET on its health port."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def _end(self, number: signal.Signals) -> float:
        assert self._process is not None
        started = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(timeout=END_SECONDS)
        return time.monotonic() - started

    def _write_kubeconfig(self) -> None:
        self._token.write_text(
            self.kubectl.run(
                "create", "token", "soulbox-operator", "--namespace", NAMESPACE, "--duration=2h"
            )
        )
        shown = self.kubectl.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        config = json.loads(shown)
        for user in config["users"]:
            user["user"] = {"tokenFile": str(self._token)}
        self._kubeconfig.write_text(json.dumps(config))


class Places:
    """Namespaces for tests, each served by the operator from its beginning on."""

    def __init__(self, api: Direct, operator: OperatorProcess, *, in_batches: bool) -> None:
        """`in_batches`: the operator serves no others than these."""
        self._api = api
        self._operator = operator
        self._in_batches = in_batches
        self._fresh: list[str] = []
        self._taken: list[str] = []

    def take(self) -> str:
        """A namespace that nobody had before."""
        if not self._in_batches:
            return self._make(1)[0]
        if not self._fresh:
            self._renew()
        self._taken.append(self._fresh.pop())
        return self._taken[-1]

    def give_back(self, *names: str) -> None:
        """They go, with everything in them."""
        for name in names:
            if self._is_there(name):
                self._api.delete("namespace", name, "")

    def close(self) -> None:
        """What nobody took goes too."""
        self.give_back(*self._fresh)

    def _renew(self) -> None:
        """A new batch. What is still on its way out of namespaces before is served to its end."""
        runs = self._operator.runs
        if runs:
            self._operator.stop()
        self._taken = [name for name in self._taken if self._is_there(name)]
        self._fresh = self._make(BATCH)
        self._operator.serves = (*self._taken, *self._fresh)
        if runs:
            self._operator.start()

    def _make(self, count: int) -> list[str]:
        names = [f"test-{uuid.uuid4().hex[:12]}" for _ in range(count)]
        for name in names:
            self._api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return names

    def _is_there(self, name: str) -> bool:
        try:
            self._api.get("namespace", name, "")
        except KubectlError as error:
            if "NotFound" in str(error):
                return False
            raise
        return True


def _worker() -> str | None:
    """Which worker of pytest-xdist this is, None without it."""
    return os.environ.get("PYTEST_XDIST_WORKER")


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """DSN of the trial's database, migrated; of a worker's own beside it."""
    dsn = os.environ.get("SOULBOX_DSN")
    if not dsn:
        pytest.fail("SOULBOX_DSN is not set: run `make test`, or `make up` and `. .local/env`")
    worker = _worker()
    if worker is None:
        migrate(dsn)
        yield dsn
        return
    whole, _, trial = dsn.rpartition("/")
    name = f"{trial}_{worker}"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(f"{whole}/{name}")
    yield f"{whole}/{name}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(drop)


@pytest.fixture(scope="session")
def lease(kubectl: Kubectl) -> Iterator[str]:
    """Name of the Lease of this worker's operator, which its ServiceAccount may take."""
    worker = _worker()
    if worker is None:
        yield LEASE
        return
    name = f"{LEASE}-{worker}"
    metadata = {"name": name, "namespace": NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    account = {"kind": "ServiceAccount", "name": "soulbox-operator", "namespace": NAMESPACE}
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [name],
        "verbs": ["get", "patch"],
    }
    kinds: dict[str, dict[str, Any]] = {
        "Role": {"rules": [rule]},
        "RoleBinding": {"roleRef": role, "subjects": [account]},
    }
    for kind, body in kinds.items():
        kubectl.server_apply(
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata}
            | body
        )
    yield name
    kubectl.run("delete", "rolebinding,role,lease", name, "-n", NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="session")
def room(kubectl: Kubectl) -> None:
    """What pods of the classes ask for: a quarter of their CPU limit. The larger tests together
    would fill a node of two CPUs, so that their pods waited for each other; of four workers they
    ask for next to nothing, and mostly wait anyway."""
    percent = None if _worker() is None else 2  # None: the CRD's default
    api = direct(kubectl)
    for found in api.list("sandboxclass", ""):
        name = found["metadata"]["name"]
        api.patch("sandboxclass", name, "", {"spec": {"cpuRequestPercent": percent}})


@pytest.fixture(scope="session")
def operator(
    kubectl: Kubectl,
    database: str,
    lease: str,
    room: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """The operator's process, which a test may start, end and kill; see `running_operator`."""
    process = OperatorProcess(kubectl, database, tmp_path_factory.mktemp("operator"), lease=lease)
    yield process
    if process.runs:
        process.stop()


@pytest.fixture(scope="session")
def places(kubectl: Kubectl, operator: OperatorProcess) -> Iterator[Places]:
    """Namespaces that the operator serves."""
    made = Places(direct(kubectl), operator, in_batches=_worker() is not None)
    yield made
    made.close()


@pytest.fixture
def running_operator(operator: OperatorProcess) -> OperatorProcess:
    """The operator, which runs."""
    if not operator.runs:
        operator.start()
    return operator


@pytest.fixture
def world(
    kubectl: Kubectl, namespace: str, database: str, running_operator: OperatorProcess
) -> World:
    """The test's own namespace, with a running operator."""
    return World(kubectl, namespace, database, running_operator.log)
