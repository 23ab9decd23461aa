"""How programs end: state, reason, output and error of each, on a real kubelet."""

import time

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.object_watch import PodWatch
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FORK_TWICE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
print("parent ends")
"""
HOG = "blocks = []\nwhile True:\n    blocks.append(bytearray(8 * 1024 * 1024))\n"


@pytest.fixture
def box(world: World) -> World:
    """A world with a running Sandbox `box`."""
    world.create(make_sandbox("box"))
    world.sandbox("box")
    return world


def processes(world: World) -> str:
    """Command lines of everything that runs in the Sandbox's container."""
    # Right at the end of a run everything in the pod is killed, an exec's shell too.
    script = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done"
    return world.shell(world.pod_of("box"), "sh", "-c", script)


def conditions(manifest: dict) -> dict[str, str]:
    return {c["type"]: c["status"] for c in manifest["status"]["conditions"]}


def test_success_is_completed_with_its_output_and_ready(box: World) -> None:
    box.create(
        make_execution("ok", code="print('hello'); import sys; print('err', file=sys.stderr)")
    )
    status = box.execution("ok")["status"]
    assert (status["state"], status["reason"], status["exitCode"]) == ("Completed", "Completed", 0)
    assert status["output"]["stdout"] == "hello\n"
    assert status["output"]["stderr"] == "err\n"
    assert status["output"]["stdoutTruncated"] is False
    assert conditions({"status": status}) == {
        "Finished": "True",
        "Succeeded": "True",
        "Ready": "True",
    }
    assert status["observedGeneration"] == 1
    assert status["receipt"]["podUID"] == box.get("sandbox", "box")["status"]["pod"]["uid"]


def test_an_exception_is_failed_with_its_traceback(box: World) -> None:
    box.create(make_execution("bad", code="def f():\n    raise ValueError('no good')\nf()\n"))
    found = box.execution("bad")
    status = found["status"]
    assert (status["state"], status["reason"], status["exitCode"]) == ("Failed", "NonZeroExit", 1)
    assert status["error"]["type"] == "ValueError"
    assert status["error"]["message"] == "no good"
    assert "in f" in status["error"]["stackTrace"]
    assert conditions(found) == {
        "Finished": "True", "Succeeded": "False", "Ready": "False", "Stalled": "True",
    }  # fmt: skip


HOSTILE = """
import sys
print("\\x7f\\x9b\\ufffe plain")
sys.stderr.write("\\x1b[31mEVIL\\x1b]0;title\\x07\\x7f\\n")
sys.exit(1)
"""


def test_what_code_writes_breaks_neither_yaml_nor_a_terminal(box: World) -> None:
    box.create(make_execution("hostile", code=HOSTILE))
    box.kubectl.run("wait", "--for=condition=Finished", "execution/hostile", "-n", box.namespace)
    status = box.execution("hostile")["status"]
    assert status["output"]["stdout"] == "\ufffd\ufffd\ufffd plain\n"
    assert status["error"]["message"] == r"\x1b[31mEVIL\x1b]0;title\x07\x7f"
    assert "EVIL" in box.kubectl.run("get", "execution", "-n", box.namespace, "-o", "yaml")
    box.poll(lambda: bool(box.events_of("hostile")), "its Event")
    (event,) = box.events_of("hostile")
    assert r"\x1b[31mEVIL" in event["message"]


def test_a_signal_is_failed_with_the_signal_and_no_exit_code(box: World) -> None:
    box.create(make_execution("segv", code="import os\nos.kill(os.getpid(), 11)\n"))
    status = box.execution("segv")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "Signaled")
    assert status["signal"] == "SIGSEGV"
    assert "exitCode" not in status


def test_a_timeout_keeps_partial_output_and_leaves_no_process(box: World) -> None:
    code = "import time\nprint('before')\ntime.sleep(600)\n"
    box.create(make_execution("slow", code=code, timeoutSeconds=3))
    status = box.execution("slow")["status"]
    assert (status["state"], status["reason"]) == ("Timeout", "TimedOut")
    assert status["output"]["stdout"] == "before\n"
    assert 3000 <= status["durationMilliseconds"] < 600_000
    assert "python3" not in processes(box)


def test_cancel_ends_a_run_and_keeps_what_it_wrote(box: World) -> None:
    code = "import time\nprint('begun')\ntime.sleep(600)\n"
    box.create(make_execution("long", code=code))
    box.wait(
        "execution", "long", lambda e: e.get("status", {}).get("state") == "Running", "Running"
    )
    started = time.monotonic()
    box.patch("execution", "long", {"spec": {"cancel": True}})
    status = box.execution("long")["status"]
    print(f"cancelled after {time.monotonic() - started:.2f} s")
    assert (status["state"], status["reason"]) == ("Cancelled", "Cancelled")
    assert status["output"]["stdout"] == "begun\n"
    assert "python3" not in processes(box)


def test_cancel_before_the_start_runs_nothing(world: World) -> None:
    world.create(make_execution("early", sandboxRef={"name": "nobody"}, cancel=True))
    status = world.execution("early")["status"]
    assert (status["state"], status["reason"]) == ("Cancelled", "Cancelled")
    assert "output" not in status


def test_a_memory_hog_is_oom_killed_and_the_sandbox_lives_on(world: World) -> None:
    world.create(make_sandbox("box", resources={"memory": "64Mi"}))
    world.sandbox("box")
    world.create(make_execution("hog", code=HOG))
    status = world.execution("hog")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "OOMKilled")
    assert "64Mi" in status["message"]
    world.create(make_execution("after", code="print('still here')"))
    assert world.execution("after")["status"]["output"]["stdout"] == "still here\n"


def test_a_double_forked_child_dies_with_its_run(box: World) -> None:
    box.create(make_execution("forks", code=FORK_TWICE))
    assert box.execution("forks")["status"]["state"] == "Completed"
    assert "python3" not in processes(box)


def test_output_over_the_inline_limit_is_whole_in_sql(box: World) -> None:
    code = "import sys\nsys.stdout.write(''.join(f'{i:07d}\\n' for i in range(50_000)))\n"
    created = box.create(make_execution("chatty", code=code))
    status = box.execution("chatty")["status"]
    assert status["output"]["stdoutBytes"] == 400_000
    assert status["output"]["stdoutTruncated"] is True
    assert status["output"]["stdout"].startswith("0000000\n0000001\n")
    assert status["output"]["stdout"].endswith("0049999\n")
    uid = created["metadata"]["uid"]
    box.wait_rows(
        "select 1 from soulbox.executions where uid = %(uid)s and output_complete", uid=uid
    )
    (row,) = box.rows(
        "select string_agg(bytes, ''::bytea order by seq) as whole"
        " from soulbox.execution_outputs where uid = %(uid)s and stream = 'stdout'",
        uid=uid,
    )
    assert bytes(row["whole"]) == "".join(f"{i:07d}\n" for i in range(50_000)).encode()


def test_binary_output_ends_and_is_exact_in_sql(box: World) -> None:
    code = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 4)\n"
    created = box.create(make_execution("binary", code=code))
    status = box.execution("binary")["status"]
    assert status["state"] == "Completed"
    assert status["output"]["stdoutBytes"] == 1024
    uid = created["metadata"]["uid"]
    rows = box.wait_rows(
        "select bytes from soulbox.execution_outputs where uid = %(uid)s and stream = 'stdout'",
        uid=uid,
    )
    assert b"".join(bytes(row["bytes"]) for row in rows) == bytes(range(256)) * 4


def test_files_arguments_stdin_and_environment_reach_the_program(box: World) -> None:
    code = (
        "import os, sys, helper\n"
        "print(helper.NAME, sys.argv[1:], sys.stdin.read(), os.environ['COLOUR'])\n"
        "print(sorted(k for k in os.environ if 'SOULBOX' in k))\n"
    )
    box.create(
        make_execution(
            "inputs",
            code=code,
            files=[{"path": "helper.py", "content": "NAME = 'helper'\n"}],
            args=["one", "two words"],
            stdin="from stdin",
            env=[{"name": "COLOUR", "value": "blue"}],
        )
    )
    status = box.execution("inputs")["status"]
    assert (
        status["output"]["stdout"]
        == "helper ['one', 'two words'] from stdin blue\n['SOULBOX_RESULT']\n"
    )


def test_one_shot_has_a_pod_of_its_own_that_goes_and_is_billed(world: World) -> None:
    code = "echo hi; sleep 2"
    with PodWatch(world.kubectl, world.namespace) as pods:
        created = world.create(
            make_execution("once", sandboxRef=None, className="bash", language="bash", code=code)
        )
        status = world.execution("once")["status"]
        assert (status["state"], status["output"]["stdout"]) == ("Completed", "hi\n")
        world.poll(lambda: not world.pods(), "its pod to go")
        world.poll(lambda: any(one.finished_at for one in pods.times().values()), "its end")
        (told,) = pods.times().values()
    uid = created["metadata"]["uid"]
    rows = world.wait_rows(
        "select kind, quantity, pod_uid::text from soulbox.billing_events"
        " where execution_uid = %(uid)s",
        uid=uid,
    )
    assert [row["kind"] for row in rows] == ["execution"]
    assert rows[0]["pod_uid"] == status["receipt"]["podUID"]
    assert float(rows[0]["quantity"]) == told.seconds
    assert told.seconds >= 2


COPYING = """
import os, shutil, sys
shutil.copy(os.environ['SOULBOX_INPUT'], os.environ['SOULBOX_RESULT'])
print(sys.stdin.read())
"""
DOUBLED = (
    "def main(given):\n    print('called')\n    return {'doubled': given['n'] * 2, 'none': None}\n"
)


def test_input_result_and_handler(box: World) -> None:
    box.create(make_execution("call", code=DOUBLED, handler="main", input={"n": 21, "x": None}))
    call = box.execution("call")
    assert call["status"]["state"] == "Completed", call["status"]
    assert call["spec"]["input"] == {"n": 21, "x": None}
    assert call["status"]["result"] == {"doubled": 42, "none": None}
    assert call["status"]["output"]["stdout"] == "called\n"
    (row,) = box.wait_rows(
        "select input, result from soulbox.executions where uid = %(uid)s and result is not null",
        uid=call["metadata"]["uid"],
    )
    assert row == {"input": {"n": 21, "x": None}, "result": {"doubled": 42, "none": None}}

    box.create(make_execution("copy", code=COPYING, input=[1, None, "é"]))
    status = box.execution("copy")["status"]
    assert status["result"] == [1, None, "é"]
    assert status["output"]["stdout"].strip() == '[1,null,"é"]'

    large = "import os\nopen(os.environ['SOULBOX_RESULT'], 'w').write('1' * 81920)\nprint('kept')\n"
    box.create(make_execution("large", code=large))
    status = box.execution("large")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "ResultInvalid")
    assert "has 81,920 bytes of at most 65,536" in status["message"]
    assert status["output"]["stdout"] == "kept\n"

    box.create(
        make_execution(
            "left", code="import os; print(os.path.exists(os.environ['SOULBOX_RESULT']))"
        )
    )
    status = box.execution("left")["status"]
    assert status["output"]["stdout"] == "False\n", "an earlier run's result"
    assert "result" not in status

    box.create(make_execution("missing", code="def other(x): pass", handler="main"))
    status = box.execution("missing")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "NonZeroExit")
    assert "main" in status["message"]
