"""Start the real runner as an ordinary process and call it over signed HTTP.

For tests only: the product's own client is asynchronous and lives in soulbox.box. This one is
small and can also send what a correct client never would (a wrong signature, another pod's uid).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.patience import PATIENCE_SECONDS

POD_UID = "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e"
# In front of what a program does afterwards; see Runner.go.
UNTIL_GO = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
# In the range that pods get, where no account of the machine is. Another for each test process:
# RLIMIT_NPROC counts all processes of a uid.
HIGH_UID = 1_073_741_000 + os.getpid() % 100_000


@dataclass(frozen=True)
class Signer:
    """An Ed25519 key and the way to sign a call with it."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def key_id(self) -> str:
        return hashlib.sha256(self.public).digest()[:8].hex()

    @property
    def env(self) -> str:
        """The form of SOULBOX_PUBLIC_KEYS."""
        return f"{self.key_id}:{base64.b64encode(self.public).decode()}"

    def headers(
        self,
        method: str,
        target: str,
        body: bytes,
        *,
        pod_uid: str = POD_UID,
        time_milliseconds: int | None = None,
        nonce: str | None = None,
    ) -> dict[str, str]:
        stamp = str(time.time_ns() // 1_000_000 if time_milliseconds is None else time_milliseconds)
        nonce = secrets.token_hex(16) if nonce is None else nonce
        path, _, query = target.partition("?")
        digest = hashlib.sha256(body).hexdigest()
        parts = ("soulbox-v1", method, path, query, digest, pod_uid, stamp, nonce)
        signature = self.key.sign("\n".join(parts).encode())
        return {
            "Soulbox-Key-Id": self.key_id,
            "Soulbox-Time": stamp,
            "Soulbox-Nonce": nonce,
            "Soulbox-Signature": base64.b64encode(signature).decode(),
        }


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of a refusal."""
        return str(self.json["error"]["code"])


@dataclass
class Runner:
    """A runner process and a client for it. Not safe for use by several threads at once."""

    process: subprocess.Popen[bytes]
    signer: Signer
    host: str
    port: int
    base: Path
    log: list[str]
    connection: http.client.HTTPConnection | None = None

    @property
    def workspace(self) -> Path:
        return self.base / "workspace"

    def send(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Reply:
        """One request as given, signed or not. Connections are kept, and made again when closed."""
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=90)
            try:
                self.connection.request(method, target, body=body or None, headers=headers)
                reply = self.connection.getresponse()
                content = reply.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                self.disconnect()
                if attempt == 2:
                    raise
                continue
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, content)
        raise AssertionError("unreachable")

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def call(self, method: str, target: str, body: bytes = b"", **changes: Any) -> Reply:
        return self.send(method, target, body, self.signer.headers(method, target, body, **changes))

    def put(self, uid: str, attempt: int = 1, *, wait: str = "", **request: Any) -> Reply:
        """PUT an execution. `request` is the body; `code` and `command` have defaults."""
        request = {"command": ["python3", "-I"], "extension": ".py", "code": "", **request}
        target = f"/v1/executions/{uid}/{attempt}" + (f"?wait={wait}" if wait else "")
        return self.call("PUT", target, json.dumps(request).encode())

    def get(self, uid: str, attempt: int = 1, wait: str = "") -> Reply:
        target = f"/v1/executions/{uid}/{attempt}" + (f"?wait={wait}" if wait else "")
        return self.call("GET", target)

    def cancel(self, uid: str, attempt: int = 1) -> Reply:
        return self.call("DELETE", f"/v1/executions/{uid}/{attempt}")

    def release(self, uid: str, attempt: int = 1) -> Reply:
        return self.call("POST", f"/v1/executions/{uid}/{attempt}/release")

    def finish(
        self, uid: str, attempt: int = 1, within: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait for the end and give the document."""
        deadline = time.monotonic() + within
        while True:
            left = max(deadline - time.monotonic(), 0)
            reply = self.get(uid, attempt, wait=f"{min(left, 30):.3f}s")
            assert reply.status == 200, reply
            if reply.json["state"] == "Finished" or left == 0:
                assert reply.json["state"] == "Finished", (reply.json, self.log[-5:])
                return dict(reply.json)

    def run(
        self, uid: str, code: str, within: float = PATIENCE_SECONDS, **request: Any
    ) -> dict[str, Any]:
        """PUT and wait for the end."""
        reply = self.put(uid, code=code, wait="1s", **request)
        assert reply.status == 201, reply
        return self.finish(uid, within=within)

    def go(self) -> None:
        """Let a program that begins with UNTIL_GO go on."""
        (self.workspace / "go").touch()

    def stored(self, uid: str, stream: str, attempt: int = 1, offset: int = 0) -> bytes:
        """All stored bytes of a stream from an offset, call by call."""
        parts: list[bytes] = []
        while True:
            target = f"/v1/executions/{uid}/{attempt}/output/{stream}?offset={offset}"
            reply = self.call("GET", target)
            assert reply.status == 200, reply
            if not reply.body:
                return b"".join(parts)
            parts.append(reply.body)
            offset += len(reply.body)

    def status_value(self, key: str) -> int:
        """A number of /proc/PID/status, such as VmRSS (kB), VmHWM (kB) or Threads."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return int(value.split()[0])
        raise KeyError(key)


def text(stream: dict[str, Any]) -> str:
    """Head and tail of a stream of a document as text."""
    raw = base64.b64decode(stream["head"]) + base64.b64decode(stream["tail"])
    return raw.decode(errors="replace")


def children_of(pid: int) -> list[int]:
    """The processes below pid, at any depth; zombies are not counted."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                after = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if after[0] not in "ZX":
                parents[int(entry)] = int(after[1])
    found: list[int] = []
    queue = [pid]
    while queue:
        parent = queue.pop()
        below = [child for child, its in parents.items() if its == parent]
        found += below
        queue += below
    return found


def has_child(pid: int, name: str) -> bool:
    """Whether a process of that name runs below another."""
    for child in children_of(pid):
        with suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return True
    return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again every 10 ms; fail with what was awaited."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.01)


@contextmanager
def start_runner(
    binary: Path,
    base: Path,
    *flags: str,
    signer: Signer | None = None,
    prefix: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Runner]:
    """Start `serve` with its directories below base, on a free port; kill it at the end.

    `prefix` is put before the command, such as setpriv or unshare. The runner is killed by its
    own pid only; what it started ends with it.
    """
    signer = signer or Signer()
    command = [
        *prefix, str(binary), "serve", "--listen", f"{host}:0",
        "--workspace", str(base / "workspace"), "--state-dir", str(base / "state"),
        "--output-dir", str(base / "output"), "--tmp-dir", str(base / "tmp"), *flags,
    ]  # fmt: skip
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "SOULBOX_PUBLIC_KEYS": signer.env,
        "SOULBOX_POD_UID": POD_UID,
        **(env or {}),
    }
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    log: list[str] = []
    listening = threading.Event()
    port: list[int] = []
    started: list[Runner] = []

    def read_log() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line.decode(errors="replace").rstrip())
            if not port and '"msg":"listening"' in log[-1]:
                port.append(int(json.loads(log[-1])["address"].rpartition(":")[2]))
                listening.set()
        listening.set()

    reader = threading.Thread(target=read_log, daemon=True)
    reader.start()
    try:
        assert listening.wait(PATIENCE_SECONDS), "the runner does not listen"
        assert port, log
        started.append(Runner(process, signer, host, port[0], base, log))
        yield started[0]
    finally:
        for runner in started:
            runner.disconnect()
        process.kill()
        process.wait()
        reader.join(timeout=10)
        if process.stdout is not None and not reader.is_alive():
            process.stdout.close()
