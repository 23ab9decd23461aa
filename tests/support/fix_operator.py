"""The operator as a process, with the rights of its ServiceAccount, for tests on a kubelet."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from soulbox.store.migrate import migrate
from tests.support.fix_kube import ROOT, Kubectl
from tests.support.waiting import World

START_SECONDS = 30.0
NAMESPACE = "soulbox-system"


class OperatorProcess:
    """`soulbox operator`, started and ended as often as a test likes; its coverage is kept."""

    command: tuple[str, ...] = (
        sys.executable, "-m", "coverage", "run", "-m", "soulbox", "operator",
    )  # fmt: skip

    def __init__(self, kubectl: Kubectl, dsn: str, folder: Path, identity: str = "tests") -> None:
        self._kubectl = kubectl
        self.log = folder / "operator.log"
        self._token = folder / "token"
        self._kubeconfig = folder / "kubeconfig"
        self.dsn = dsn
        self.identity = identity
        self.port = _free_port()
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
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def _end(self, number: signal.Signals) -> float:
        assert self._process is not None
        started = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(timeout=20)
        return time.monotonic() - started

    def _write_kubeconfig(self) -> None:
        self._token.write_text(
            self._kubectl.run(
                "create", "token", "soulbox-operator", "--namespace", NAMESPACE, "--duration=2h"
            )
        )
        shown = self._kubectl.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        config = json.loads(shown)
        for user in config["users"]:
            user["user"] = {"tokenFile": str(self._token)}
        self._kubeconfig.write_text(json.dumps(config))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="session")
def database() -> str:
    """DSN of the trial's database, migrated."""
    dsn = os.environ.get("SOULBOX_DSN")
    if not dsn:
        pytest.fail("SOULBOX_DSN is not set: run `make test`, or `make up` and `. .local/env`")
    migrate(dsn)
    return dsn


@pytest.fixture(scope="session")
def operator(
    kubectl: Kubectl, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """A running operator. A test that ends it starts it again."""
    process = OperatorProcess(kubectl, database, tmp_path_factory.mktemp("operator"))
    process.start()
    yield process
    if process.runs:
        process.stop()


@pytest.fixture
def world(kubectl: Kubectl, namespace: str, database: str, operator: OperatorProcess) -> World:
    """The test's own namespace, with a running operator."""
    if not operator.runs:
        operator.start()
    return World(kubectl, namespace, database, operator.log)
