"""`soulbox` as a person uses it, against a real operator, kubelet and runner."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import ROOT, Kubectl
from tests.support.fix_operator import OperatorProcess
from tests.support.gates import go
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# What a wait of five seconds is worth; a machine that does other things may take that long.
STILL_WAITS = re.compile(
    rb"^soulbox: (?:Execution|Sandbox) \S+: (?:created|Created.*|Starting.*|Queued.*)\n",
    re.MULTILINE,
)


class Shell:
    """A person's shell with the cluster chosen."""

    def __init__(self, world: World, operator: OperatorProcess) -> None:
        self.world = world
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SOULBOX_")},
            "KUBECONFIG": world.kubectl.kubeconfig,
            "SOULBOX_OPERATOR_URL": f"http://127.0.0.1:{operator.port}",
            "PYTHONUNBUFFERED": "1",
        }

    def start(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        covered: bool = False,
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """Begin a command; `covered`: its lines count as tested, and it begins later."""
        python = [sys.executable, *(("-m", "coverage", "run") if covered else ())]
        head = 2 if arguments[0] == "tools" else 1  # a group has no options of its own
        own = [*arguments[:head], "-n", self.world.namespace, *arguments[head:]]
        if arguments[:2] == ("tools", "search"):  # of all namespaces
            own = list(arguments)
        return subprocess.Popen(
            [*python, "-m", "soulbox", *own],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def call(self, *arguments: str, stdin: bytes = b"", **environment: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr, without the word that it still waits."""
        process = self.start(*arguments, stdin=subprocess.PIPE, **environment)
        out, err = rest_of(process, stdin)
        return process.returncode, out.decode(), err.decode()

    def json(self, *arguments: str) -> Any:
        code, out, err = self.call(arguments[0], "-o", "json", *arguments[1:])
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def shell(world: World, operator: OperatorProcess) -> Shell:
    return Shell(world, operator)


@pytest.fixture
def box(world: World) -> World:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    return world


def rest_of(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> tuple[bytes, bytes]:
    """What a command still writes until its end, without the word that it still waits."""
    out, err = process.communicate(stdin, timeout=PATIENCE_SECONDS)
    return out, STILL_WAITS.sub(b"", err)


def program(folder: Path, code: str, name: str = "job.py") -> str:
    path = folder / name
    path.write_text(code)
    return str(path)


def read_line(process: subprocess.Popen[bytes], seconds: float = PATIENCE_SECONDS) -> bytes:
    """The first line on its stdout, as it comes."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(seconds), "nothing came"
    return process.stdout.readline()


def only_execution(world: World) -> dict[str, Any]:
    (found,) = world.kubectl.get("executions", "--namespace", world.namespace)["items"]
    return dict(found)


# It goes on when the file appears, and the file appears when its first line was seen: were the
# output not live, it would wait until its time is over.
GATED = """
import os, sys, time
print('first', flush=True)
print('problem', file=sys.stderr, flush=True)
while not os.path.exists('go'):
    time.sleep(0.02)
print('last')
sys.exit(7)
"""


def test_output_is_live_and_the_exit_code_is_the_programs(
    box: World, shell: Shell, tmp_path: Path
) -> None:
    job = program(tmp_path, GATED)
    process = shell.start("run", job, "--sandbox", "box", covered=True)
    try:
        assert read_line(process) == b"first\n"
        assert process.poll() is None
        go(box)
        out, err = rest_of(process)
    finally:
        process.kill()
    assert (out, err, process.returncode) == (b"last\n", b"problem\n", 7)


def test_a_one_shot_from_a_pipe_with_arguments_variables_and_stdin(
    shell: Shell, tmp_path: Path
) -> None:
    code = b"import os, sys\nprint(sys.argv[1:], os.environ['WHO'])\n"
    assert shell.call("run", "-", "--env", "WHO", "--", "a", "--b", stdin=code, WHO="me") == (
        0,
        "['a', '--b'] me\n",
        "",
    )
    job = program(tmp_path, 'read line; echo "got $line"; exit 4\n', "job.sh")
    assert shell.call("run", job, "--stdin", stdin=b"words\n") == (4, "got words\n", "")


def test_ctrl_c_cancels_and_shows_what_came(box: World, shell: Shell, tmp_path: Path) -> None:
    job = program(tmp_path, "import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    process = shell.start("run", job, "--sandbox", "box", covered=True)
    try:
        assert read_line(process) == b"begun\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, b"")
    assert b"cancelling; press" in err
    assert b"Cancelled/Cancelled" in err
    status = only_execution(box)["status"]
    assert (status["state"], status["output"]["stdout"]) == ("Cancelled", "begun\n")


def test_reader_that_leaves_cancels_the_run(box: World, shell: Shell, tmp_path: Path) -> None:
    """As `soulbox run … | head -1`."""
    code = "import time\nwhile True:\n  print('again', flush=True)\n  time.sleep(0.05)\n"
    process = shell.start("run", program(tmp_path, code), "--sandbox", "box", "--name", "endless")
    try:
        assert read_line(process) == b"again\n"
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=PATIENCE_SECONDS) == 141
        assert process.stderr is not None
        with process.stderr:
            assert b"Traceback" not in process.stderr.read()
    finally:
        process.kill()
    assert box.execution("endless")["status"]["state"] == "Cancelled"


def test_on_a_terminal_progress_is_shown_until_output_comes(shell: Shell, tmp_path: Path) -> None:
    """A one-shot's pod takes a second or two to start: that is what the spinner is for."""
    ours, theirs = pty.openpty()
    job = program(tmp_path, "print('the output')\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "soulbox", "run", "-n", shell.world.namespace, job],
        cwd=ROOT,
        env=shell.environment | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ours, selectors.EVENT_READ)
            while selector.select(PATIENCE_SECONDS):
                try:
                    block = os.read(ours, 65_536)
                except OSError:  # how Linux tells that nobody has the other side any more
                    break
                if not block:
                    break
                seen += block
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        os.close(ours)
    progress, _, rest = seen.partition(b"the output\r\n")
    assert b"Execution job-" in progress
    assert b"\x1b[?25h" in progress, "the cursor is shown again before the output"
    assert rest == b""


def on_terminal(shell: Shell, command: str, *arguments: str) -> bytes:
    """What a command shows on a terminal."""
    own = [command, "-n", shell.world.namespace, *arguments]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "soulbox", *own],
        cwd=ROOT,
        env=shell.environment | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while True:
            try:
                block = os.read(ours, 65_536)
            except OSError:  # how Linux tells that nobody has the other side any more
                break
            if not block:
                break
            seen += block
        process.wait(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        os.close(ours)
    return seen


def test_output_cannot_take_over_a_terminal(box: World, shell: Shell) -> None:
    code = r"print('\x1b]0;title\x07\x1b[31mred\x1b[0m', flush=True)"
    box.create(make_execution("hostile", code=code))
    box.execution("hostile")
    assert b"\\x1b]0;title\\x07\x1b[31mred\x1b[0m" in on_terminal(shell, "logs", "hostile")
    raw = b"\x1b]0;title\x07\x1b[31mred\x1b[0m"
    assert raw in on_terminal(shell, "logs", "hostile", "--raw")
    process = shell.start("logs", "hostile")
    assert raw in process.communicate(timeout=PATIENCE_SECONDS)[0]


def test_ends_have_their_exit_codes(box: World, shell: Shell, tmp_path: Path) -> None:
    slow = program(tmp_path, "import time\nprint('x', flush=True)\ntime.sleep(60)\n", "slow.py")
    code, out, err = shell.call("run", slow, "--sandbox", "box", "--timeout", "3")
    assert (code, out) == (124, "x\n")
    assert "Timeout/TimedOut" in err
    killed = program(tmp_path, "import os\nos.kill(os.getpid(), 11)\n", "killed.py")
    code, _, err = shell.call("run", killed, "--sandbox", "box")
    assert code == 128 + 11
    assert "SIGSEGV" in err


def test_large_binary_output_is_the_same_to_the_byte(
    box: World, shell: Shell, tmp_path: Path
) -> None:
    job = program(
        tmp_path,
        "import os, random\nos.write(1, b'')\n"
        "import sys\nsys.stdout.buffer.write(random.Random(7).randbytes(3_000_000))\n",
    )
    process = shell.start("run", job, "--sandbox", "box", "--name", "large")
    out, err = process.communicate(timeout=PATIENCE_SECONDS)

    want = random.Random(7).randbytes(3_000_000)
    assert process.returncode == 0, err
    assert out == want
    # Afterwards it lies in PostgreSQL: through the operator, and with a DSN without it.
    for environment in ({}, {"SOULBOX_DSN": box.dsn, "SOULBOX_OPERATOR_URL": "http://127.0.0.1:1"}):
        process = shell.start("logs", "large", **environment)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, out == want) == (0, True), err


def test_without_the_operator_at_hand_output_comes_at_the_end(
    box: World, shell: Shell, tmp_path: Path
) -> None:
    job = program(tmp_path, "print('here')\n")
    code, out, err = shell.call(
        "run", job, "--sandbox", "box", SOULBOX_OPERATOR_URL="http://127.0.0.1:1"
    )
    assert (code, out) == (0, "here\n")
    assert "output was shown at the end, not live" in err


def test_json_is_the_object_and_rm_deletes_it(box: World, shell: Shell, tmp_path: Path) -> None:
    job = program(tmp_path, "print('x')\n")
    code, out, err = shell.call("run", job, "--sandbox", "box", "--rm", "-o", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["kind"], found["status"]["output"]["stdout"]) == ("Execution", "x\n")
    assert "managedFields" not in found["metadata"]
    box.wait_gone("execution", found["metadata"]["name"])


def test_logs_follow_a_run_that_another_began(box: World, shell: Shell) -> None:
    box.create(make_execution("theirs", code=GATED))
    process = shell.start("logs", "-f", "theirs", covered=True)
    try:
        assert read_line(process) == b"first\n"
        go(box)
        out, _ = rest_of(process)
    finally:
        process.kill()
    assert (out, process.returncode) == (b"last\n", 0)
    assert shell.call("logs", "theirs") == (0, "first\nlast\n", "problem\n")


def test_get_cancel_and_top(box: World, shell: Shell) -> None:
    box.create(make_execution("long", code="import time; time.sleep(600)"))
    box.wait("execution", "long", lambda e: e["status"].get("state") == "Running", "Running")
    code, out, _ = shell.call("get")
    assert code == 0
    assert re.search(r"^box +Running +python", out, re.MULTILINE)
    assert re.search(r"^long +Running", out, re.MULTILINE)
    assert [one["kind"] for one in shell.json("get")["items"]] == ["Sandbox", "Execution"]
    assert shell.json("get", "box")["kind"] == "Sandbox"
    (row,) = shell.json("top")["items"]
    assert (row["name"], row["state"], row["running"]) == ("box", "Running", ["long"])
    assert shell.call("cancel", "long")[:2] == (0, "execution long is being cancelled\n")
    assert box.execution("long")["status"]["state"] == "Cancelled"
    assert shell.json("get", "sandbox/box")["kind"] == "Sandbox"
    code, out, _ = shell.call("get", "long")
    assert code == 0
    assert "Cancelled Cancelled" in out
    assert "Receipt runnerVersion" in out


def test_errors_name_the_remedy(box: World, shell: Shell, tmp_path: Path) -> None:
    job = program(tmp_path, "print(1)\n")
    code, _, err = shell.call("run", job, "--sandbox", "bx")
    assert (code, err) == (
        125,
        f"soulbox: there is no Sandbox bx in namespace {box.namespace}; did you mean box?\n",
    )
    code, _, err = shell.call("run", job, "--class", "pyton")
    assert code == 125
    assert err.startswith("soulbox: there is no SandboxClass pyton; did you mean python")
    code, _, err = shell.call("cancel", "nothing")
    assert code == 1
    assert "there is no Execution nothing in namespace" in err
    code, _, err = shell.call("get", "--context", "nowhere")
    assert code == 2
    assert "no usable Kubernetes credentials" in err


def kubeconfig_of_default(world: World, folder: Path) -> Path:
    """A kubeconfig with the token of the namespace's ServiceAccount `default`."""
    shown = world.kubectl.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    config = json.loads(shown)
    token = world.kubectl.run("create", "token", "default", "--namespace", world.namespace)
    config["users"] = [{"name": u["name"], "user": {"token": token}} for u in config["users"]]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_person_without_rights_is_told_which_role_to_ask_for(
    box: World, shell: Shell, tmp_path: Path
) -> None:
    nobody = kubeconfig_of_default(box, tmp_path)
    job = program(tmp_path, "print('mine')\n")
    code, _, err = shell.call("run", job, KUBECONFIG=str(nobody))
    assert code == 125
    assert "Ask for the roles `soulbox-view` and `soulbox-edit`" in err
    # With these roles in that namespace, and no more, everything works, no right on pods needed,
    # and what messages point to can be seen.
    for role in ("soulbox-view", "soulbox-edit"):
        box.kubectl.run(
            "create", "rolebinding", role, f"--clusterrole={role}", "--namespace", box.namespace,
            f"--serviceaccount={box.namespace}:default",
        )  # fmt: skip
    mine = {"KUBECONFIG": str(nobody)}
    assert shell.call("run", job, **mine) == (0, "mine\n", "")
    code, _, err = shell.call("run", job, "--class", "pyton", **mine)
    assert code == 125
    assert "did you mean python" in err
    failing = program(tmp_path, "raise SystemExit('\x1b]0;title\x07')\n", "failing.py")
    code, _, err = shell.call("run", failing, "--sandbox", "box", "--name", "failing", **mine)
    assert code == 1
    tenant = Kubectl(box.kubectl.program, str(nobody))
    classes = {one["metadata"]["name"] for one in tenant.get("sandboxclasses")["items"]}
    assert "python" in classes
    described = tenant.run("describe", "execution/failing", "--namespace", box.namespace)
    assert "NonZeroExit" in described.partition("Events:")[2]
    code, out, err = shell.call("run", job, "--user", "somebody-else", **mine)
    assert (code, out) == (125, "")
    assert "ask for the verb billto" in err
    assert "soulbox-view" not in err
    for command in (("get", "failing"), ("logs", "failing"), ("suspend", "box"), ("delete", "box")):
        code, _, err = shell.call(*command, **mine)
        assert code == 0, err


def test_impersonation_takes_rights_away_and_gives_none(
    box: World, shell: Shell, tmp_path: Path
) -> None:
    """The cluster's administrator as somebody without rights, by option and by kubeconfig."""
    code, out, err = shell.call("get", "--as", "ada")
    assert (code, out) == (1, "")
    assert 'User "ada" cannot list' in err
    config = json.loads(
        box.kubectl.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    )
    for user in config["users"]:
        user["user"] |= {"as": "ada", "as-groups": ["dev"]}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    for command in (("get",), ("cancel", "x"), ("create", "y"), ("delete", "box")):
        code, out, err = shell.call(*command, KUBECONFIG=str(path))
        assert (code, out) == (1, ""), command
        assert 'User "ada" cannot' in err
    box.kubectl.run(
        "create", "rolebinding", "devs", "--clusterrole=soulbox-view", "--group=dev",
        "--namespace", box.namespace,
    )  # fmt: skip
    assert shell.call("get", KUBECONFIG=str(path))[0] == 0


# The API server proxies to a Service's pods only. The operator of this test is a process beside
# the cluster, so a pod passes connections on to it.
RELAY = """
import asyncio, sys

async def pass_on(reader, writer):
    try:
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    finally:
        writer.close()

async def serve(reader, writer):
    there, back = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    await asyncio.gather(pass_on(reader, back), pass_on(there, writer), return_exceptions=True)

async def main():
    async with await asyncio.start_server(serve, '0.0.0.0', 8080) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def service(world: World, operator: OperatorProcess) -> Iterator[None]:
    """Service `soulbox-operator` with a port `http`, as the chart makes it."""
    address = world.kubectl.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    metadata = {"namespace": "soulbox-system", "name": "soulbox-operator"}
    labels = {"app": "relay-of-a-test"}
    command = ["python3", "-c", RELAY, address, str(operator.port)]
    container = {
        "name": "relay",
        "image": "soulbox/python:dev",
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    operator.stop()
    operator.start(SOULBOX_HTTP_LISTEN=f"0.0.0.0:{operator.port}")
    kubectl, where = world.kubectl, ("--namespace", "soulbox-system")
    try:
        kubectl.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata | {"labels": labels},
                "spec": {
                    "containers": [container],
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65534,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                },
            }
        )
        ports = [{"name": "http", "port": 8080, "targetPort": "http"}]
        kubectl.create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": labels, "ports": ports},
            }
        )
        kubectl.run("wait", "--for=condition=Ready", "pod/soulbox-operator", *where)
        yield
    finally:
        kubectl.run("delete", "pod,service", "soulbox-operator", "--ignore-not-found", *where)
        operator.stop()
        operator.start()


def test_output_comes_through_the_api_server_to_who_may_only_edit_the_namespace(
    box: World, shell: Shell, service: None, tmp_path: Path
) -> None:
    """As in a cluster: no right on the operator but the chart's on its Service."""
    box.kubectl.run(
        "create", "rolebinding", "me", "--clusterrole=edit", "--namespace", box.namespace,
        f"--serviceaccount={box.namespace}:default",
    )  # fmt: skip
    shell.environment["KUBECONFIG"] = str(kubeconfig_of_default(box, tmp_path))
    del shell.environment["SOULBOX_OPERATOR_URL"]
    process = shell.start("run", program(tmp_path, GATED), "--sandbox", "box")
    try:
        assert read_line(process) == b"first\n"
        go(box)
        out, err = rest_of(process)
        assert (out, err, process.returncode) == (b"last\n", b"problem\n", 7)
    finally:
        process.kill()


def test_as_a_kubectl_plugin_with_completions(box: World, shell: Shell) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [box.kubectl.program, "soulbox", "get", "box", "-o", "json", "-n", box.namespace],
        env=shell.environment | {"PATH": path},
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert json.loads(done.stdout)["metadata"]["name"] == "box"
    done = subprocess.run(
        ["kubectl_complete-soulbox", "get", "-n", box.namespace, "b"],
        env=shell.environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stdout.splitlines() == ["box", ":4"]


def test_each_line_comes_while_the_program_waits_for_its_reader(
    box: World, shell: Shell, tmp_path: Path
) -> None:
    """The program prints the time; two machines' clocks are one here."""
    job = program(
        tmp_path,
        "import os, time\n"
        "for number in range(3):\n"
        "  print(time.time(), flush=True)\n"
        "  while not os.path.exists(f'go-{number}'): time.sleep(0.02)\n",
    )
    process = shell.start("run", job, "--sandbox", "box")
    delays = []
    for number in range(3):
        printed = float(read_line(process))
        delays.append(time.time() - printed)
        go(box, file=f"go-{number}")
    assert rest_of(process) == (b"", b"")
    print("delays of live lines in seconds:", [round(delay, 3) for delay in delays])


def test_a_sandbox_and_its_files_from_beginning_to_end(
    world: World, shell: Shell, tmp_path: Path
) -> None:
    """create, run with files in and out, files, keep-alive, suspend, resume, delete."""
    code, out, err = shell.call(
        "create", "box", "--memory", "300Mi", "--lifetime", "1h", "--idle-timeout", "30m"
    )
    assert (code, out) == (0, "sandbox box is Running\n"), err
    assert world.sandbox("box")["status"]["resources"]["memory"] in ("300Mi", str(300 * 2**20))

    source = tmp_path / "in.bin"
    source.write_bytes(bytes(range(256)) * 100)
    job = program(
        tmp_path,
        "import os, random\n"
        "os.makedirs('out/deep')\n"
        "open('out/copy.bin', 'wb').write(open('in.bin', 'rb').read())\n"
        "open('out/deep/large.bin', 'wb').write(random.Random(7).randbytes(2_000_000))\n"
        "open('out/text', 'w').write('grüße')\n"
        "print('done')\n",
    )
    arguments = ("run", job, "--sandbox", "box", "--name", "job", "-f", str(source))
    results = tmp_path / "results"
    code, out, err = shell.call(*arguments, "--capture", "out/**", "--out", str(results))
    assert (code, out) == (0, "done\n"), err
    assert "out/text" in err
    want = {
        "out/copy.bin": source.read_bytes(),
        "out/deep/large.bin": random.Random(7).randbytes(2_000_000),
        "out/text": "grüße".encode(),
    }
    found = {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in results.rglob("*")
        if path.is_file()
    }
    assert found == want
    listed = [one["path"] for one in shell.json("files", "job")["files"]]
    assert listed == sorted(want)
    # From PostgreSQL too, without the operator; and where there is neither, it is said.
    again = tmp_path / "again"
    away = {"SOULBOX_OPERATOR_URL": "http://127.0.0.1:1"}
    code, _, err = shell.call(
        "files", "job", "out/deep", "--out", str(again), SOULBOX_DSN=world.dsn, **away
    )
    assert code == 0, err
    assert (again / "out/deep/large.bin").read_bytes() == want["out/deep/large.bin"]
    assert shell.call("files", "job", "out/text", **away)[:2] == (0, "grüße")

    code, out, _ = shell.call("get", "box")
    assert code == 0
    assert "memory 300Mi" in out
    assert re.search(r"^Execution +job Completed Completed$", out, re.MULTILINE)
    before, pod = world.sandbox("box")["status"]["expirationTime"], world.pod_of("box")
    assert shell.call("keep-alive", "box", "--for", "3h")[0] == 0
    world.wait(
        "sandbox", "box", lambda found: found["status"]["expirationTime"] > before, "a later end"
    )
    assert world.pod_of("box") == pod
    assert shell.call("keep-alive", "box", "--for", "1m")[1].startswith(
        "sandbox box already lives longer: until "
    )
    code, out, err = shell.call("suspend", "box")
    assert (code, out) == (0, "sandbox box is being suspended\n"), err
    world.sandbox("box", "Stopped")
    assert shell.call("resume", "box")[0] == 0
    world.sandbox("box")
    assert shell.call("delete", "box", "job")[0] == 0
    left = world.kubectl.get("sandboxes,executions", "--namespace", world.namespace)["items"]
    assert left == []


def test_create_that_can_never_run_says_why_and_detached_runs_are_found_again(
    box: World, shell: Shell, tmp_path: Path
) -> None:
    code, out, err = shell.call("create", "huge", "--memory", "1000Ti")
    assert code == 1, (out, err)
    assert "Sandbox huge is not ready: Error: " in err
    job = program(tmp_path, "import time\nprint('begun', flush=True)\ntime.sleep(0.2)\n")
    code, name, err = shell.call("run", job, "--sandbox", "box", "--detach", "--ttl", "1h")
    assert code == 0, err
    assert box.execution(name.strip())["spec"]["ttlSecondsAfterFinished"] == 3600
    assert shell.call("logs", "-f", name.strip())[:2] == (0, "begun\n")
