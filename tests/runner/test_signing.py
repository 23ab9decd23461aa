"""Who may call: signed requests, over HTTP, against the golden vectors and the runner."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.patience import PATIENCE_SECONDS
from tests.support.runner_client import Runner, Signer, start_runner, wait_until
from tests.support.worker import worker_number

VECTORS = Path(__file__).resolve().parents[2] / "runner/testdata/wire/signing-vectors.json"
LIST = "/v1/executions"


def test_signing_client_makes_the_golden_signatures() -> None:
    vectors = json.loads(VECTORS.read_text())
    seed = bytes.fromhex(vectors["seedHex"])
    signer = Signer(Ed25519PrivateKey.from_private_bytes(seed))
    assert signer.key_id == vectors["keyId"]
    assert signer.env == vectors["publicKeysEnv"]
    for case in vectors["cases"]:
        headers = signer.headers(
            case["method"],
            case["target"],
            case["body"].encode(),
            pod_uid=case["podUid"],
            time_milliseconds=case["timeMilliseconds"],
            nonce=case["nonce"],
        )
        assert headers == case["headers"]


def now() -> int:
    return time.time_ns() // 1_000_000


def assert_refused(runner: Runner, headers: dict[str, str], code: str) -> None:
    reply = runner.send("GET", LIST, b"", headers)
    assert (reply.status, reply.code) == (401, code)
    assert abs(reply.json["timeMilliseconds"] - now()) < 5000


def test_unsigned_request_is_refused(runner: Runner) -> None:
    assert_refused(runner, {}, "Unauthorized")


def test_request_signed_by_a_stranger_is_refused(runner: Runner) -> None:
    assert_refused(runner, Signer().headers("GET", LIST, b""), "UnknownKey")


def test_request_for_another_pod_is_refused(runner: Runner) -> None:
    assert_refused(
        runner, runner.signer.headers("GET", LIST, b"", pod_uid="another"), "Unauthorized"
    )


def test_request_for_another_call_is_refused(runner: Runner) -> None:
    for method, target in (("DELETE", LIST), ("GET", LIST + "?x=1"), ("GET", "/v1/stats")):
        assert_refused(runner, runner.signer.headers(method, target, b""), "Unauthorized")


def test_replay_is_refused(runner: Runner) -> None:
    headers = runner.signer.headers("GET", LIST, b"")
    assert runner.send("GET", LIST, b"", headers).status == 200
    assert_refused(runner, headers, "Replay")


def test_wrong_clock_is_told_the_right_time_and_can_sign_again(runner: Runner) -> None:
    wrong = now() - 3_600_000
    reply = runner.call("GET", LIST, time_milliseconds=wrong)
    assert (reply.status, reply.code) == (401, "ClockSkew")
    offset = reply.json["timeMilliseconds"] - wrong
    assert runner.call("GET", LIST, time_milliseconds=wrong + offset).status == 200


def test_body_is_covered_by_the_signature(runner: Runner) -> None:
    target = "/v1/executions/a/1"
    signed = json.dumps({"command": ["python3"], "code": "1"}).encode()
    sent = json.dumps({"command": ["python3"], "code": "2"}).encode()
    reply = runner.send("PUT", target, sent, runner.signer.headers("PUT", target, signed))
    assert (reply.status, reply.code) == (401, "Unauthorized")
    assert runner.get("a").status == 404


def test_old_and_new_key_both_count(binary: Path, base: Path) -> None:
    old, new = Signer(), Signer()
    env = {"SOULBOX_PUBLIC_KEYS": f"{old.env},{new.env}"}
    with start_runner(binary, base, signer=new, env=env) as runner:
        assert runner.call("GET", LIST).status == 200
        assert runner.send("GET", LIST, b"", old.headers("GET", LIST, b"")).status == 200


def test_escaped_path_is_signed_as_it_is_sent(runner: Runner) -> None:
    runner.run("a", "open('a b%.txt', 'w').write('x')", captureFiles=["*.txt"])
    assert runner.call("GET", "/v1/executions/a/1/files/a%20b%25.txt").body == b"x"


def test_healthz_needs_no_signature(runner: Runner) -> None:
    reply = runner.send("GET", "/healthz", b"", {})
    assert (reply.status, reply.body) == (200, b"ok")
    assert runner.send("POST", "/healthz", b"", {}).status == 401


def test_requests_from_the_pod_itself_are_answered_nothing_but_healthz(
    binary: Path, base: Path
) -> None:
    with start_runner(binary, base, host="") as runner:
        runner.host = "127.0.0.1"
        reply = runner.call("GET", LIST)
        assert (reply.status, reply.code) == (403, "Forbidden")
        assert runner.send("GET", "/healthz", b"", {}).status == 200


def was_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_connections_from_the_pod_itself_are_few(binary: Path, base: Path) -> None:
    with start_runner(binary, base, host="") as runner:
        held = [socket.create_connection(("127.0.0.1", runner.port)) for _ in range(50)]
        try:
            wait_until(lambda: sum(map(was_closed, held)) >= 40, "most of them to be closed")
            fds = len(list(Path(f"/proc/{runner.process.pid}/fd").iterdir()))
            assert fds < 40
        finally:
            for one in held:
                one.close()


@pytest.fixture
def neighbour() -> Iterator[tuple[str, str]]:
    """A network namespace beside ours: its name, and the address in it that we can reach."""
    mark = secrets.token_hex(3)
    name, ours, theirs = f"soulbox-test-{mark}", f"sbt0{mark}", f"sbt1{mark}"
    # Each worker has addresses of its own: of two equal ones the kernel knows one way only.
    here, there = (f"198.51.100.{4 * worker_number() + host}" for host in (1, 2))
    up = [
        f"ip netns add {name}",
        f"ip link add {ours} type veth peer name {theirs} netns {name}",
        f"ip addr add {here}/30 dev {ours}",
        f"ip link set {ours} up",
        f"ip -n {name} addr add {there}/30 dev {theirs}",
        f"ip -n {name} link set {theirs} up",
        f"ip -n {name} link set lo up",
    ]
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed")
    try:
        for command in up:
            if subprocess.run(command.split(), check=False, capture_output=True).returncode:
                pytest.skip(f"not permitted here: {command}")
        yield name, there
    finally:
        for command in (f"ip link del {ours}", f"ip netns del {name}"):
            subprocess.run(command.split(), check=False, capture_output=True)


def test_requests_from_beside_the_pod_are_answered(
    binary: Path, base: Path, neighbour: tuple[str, str]
) -> None:
    name, address = neighbour
    with start_runner(binary, base, prefix=("ip", "netns", "exec", name), host="") as runner:
        runner.host = address
        assert runner.run("a", "print(1)")["result"]["outcome"] == "Exited"
        connect = (
            "import urllib.request as r, urllib.error\n"
            f"for host in ('127.0.0.1', '{address}'):\n"
            f"  u = f'http://{{host}}:{runner.port}'\n"
            "  print(r.urlopen(u + '/healthz').read().decode())\n"
            "  try: r.urlopen(u + '/v1/executions')\n"
            "  except urllib.error.HTTPError as e: print(e.code)\n"
        )
        doc = runner.run("b", connect)
        out = base64.b64decode(doc["output"]["stdout"]["head"]).decode().split()
        assert out == ["ok", "403", "ok", "403"]
        assert doc["usage"]["networkRxBytes"] >= 0


INSIDE = """
import errno, re, socket, sys
port, own = int(sys.argv[1]), sys.argv[2]
taken = set()
for family, host in ((2, '0.0.0.0'), (2, own), (2, '127.0.0.1'), (10, '::'), (10, '::1')):
    for options in ((), (2,), (15,), (2, 15)):  # SO_REUSEADDR, SO_REUSEPORT
        with socket.socket(family) as one:
            for option in options: one.setsockopt(1, option, 1)
            try:
                one.bind((host, port))
                taken.add('bound')
            except OSError as error:
                taken.add(errno.errorcode[error.errno])
print(*taken)

def call(host, *lines):
    with socket.create_connection((host, port), timeout=60) as one:
        one.sendall('\\r\\n'.join(lines).encode())
        one.shutdown(socket.SHUT_WR)
        answer = b''
        while part := one.recv(65536): answer += part
    return re.findall(r'HTTP/1.1 (\\d+)', answer.decode())

CALLS = ['GET /v1/executions', 'PUT /v1/executions/a/1', 'GET /v1/executions/a/1',
    'DELETE /v1/executions/a/1', 'POST /v1/executions/a/1/release', 'GET /v1/stats',
    'GET /v1/executions/a/1/output/stdout', 'GET /v1/executions/a/1/files/x', 'POST /v1/shutdown',
    'POST /healthz', 'HEAD /v1/executions', 'GET //v1/executions', 'GET /healthz/../v1/executions',
    'GET /v1/../healthz/', 'GET http://elsewhere/v1/executions', 'TRACE /v1/executions']
seen = set()
for host in ('127.0.0.1', own, '::1', '0.0.0.0', '::', '::ffff:127.0.0.1', 'localhost'):
    for line in CALLS:
        seen.update(call(host, line + ' HTTP/1.1', 'Host: x', 'X-Forwarded-For: 198.51.100.1',
                         'Forwarded: for=198.51.100.1', 'Content-Length: 0', '', ''))
print(*sorted(seen))
healthy = ('GET /healthz HTTP/1.1', 'Host: x', '')
print(*call(own, *healthy, 'POST /v1/shutdown HTTP/1.1', 'Host: x', '', ''))
print(*call(own, 'GET http://elsewhere/healthz HTTP/1.1', 'Host: x', '', ''))

held = []
for _ in range(600):
    try:
        one = socket.create_connection((own, port), timeout=60)
        one.sendall(b'GET /healthz HTTP/1.1\\r\\nX: ')
    except OSError:  # closed at once
        continue
    held.append(one)
print('held', flush=True)
import time
"""


def test_a25_a26_a27_nothing_inside_takes_calls_or_holds_the_port(
    binary: Path, base: Path, neighbour: tuple[str, str]
) -> None:
    name, address = neighbour
    flags = ("--max-concurrent", "2")
    prefix = ("ip", "netns", "exec", name)
    with start_runner(binary, base, *flags, prefix=prefix, host="") as runner:
        runner.host = address
        runner.put("a", code=INSIDE + "time.sleep(600)", args=[str(runner.port), address])
        target = "/v1/executions/a/1/output/stdout?offset=0"
        end = time.monotonic() + PATIENCE_SECONDS
        while b"held" not in (out := runner.call("GET", target).body):
            assert time.monotonic() < end, (out, runner.get("a").json)
        lines = out.decode().splitlines()
        assert lines[:4] == ["EADDRINUSE", "403", "200 403", "200"]
        # All the while calls from outside are answered.
        assert runner.run("b", "print(1)")["result"]["outcome"] == "Exited"
        runner.cancel("a")
        assert runner.finish("a")["result"]["outcome"] == "Cancelled"


def test_slow_and_endless_requests_hold_up_nobody(runner: Runner) -> None:
    slow = [socket.create_connection((runner.host, runner.port)) for _ in range(20)]
    try:
        for one in slow:
            one.sendall(
                b"PUT /v1/executions/a/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n"
            )
        assert runner.run("a", "print(1)")["result"]["outcome"] == "Exited"
        for one in slow:  # no known key: refused before the body is read
            one.sendall(b"\r\n")
            assert one.recv(12) == b"HTTP/1.1 401"
    finally:
        for one in slow:
            one.close()


def test_oversized_headers_are_refused(runner: Runner) -> None:
    connection = http.client.HTTPConnection(runner.host, runner.port, timeout=10)
    connection.request("GET", LIST, headers={"X": "x" * 100_000})
    assert connection.getresponse().status == 431
    connection.close()
