"""Input that is legal and odd: a correct run. What is refused at apply is in tests/api."""

from __future__ import annotations

import json

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def box(world: World) -> World:
    """A world with a running Sandbox `box`."""
    world.create(make_sandbox("box"))
    world.sandbox("box")
    return world


def test_code_with_nul_is_the_interpreter_s_to_judge(box: World) -> None:
    """Python up to 3.11 reads no further than the NUL, later ones refuse the file."""
    box.create(make_execution("run", code="print(1)\0"))
    status = box.execution("run")["status"]
    assert (status["state"], status["reason"]) in {
        ("Completed", "Completed"),
        ("Failed", "NonZeroExit"),
    }
    assert "1" in status["output"]["stdout"] or "null byte" in status["output"]["stderr"]


def test_nul_in_stdin_and_files_reaches_the_program(box: World) -> None:
    code = "import sys\nprint(sys.stdin.read().count('\\0'), open('f').read().count('\\0'))\n"
    files = [{"path": "f", "content": "\0\0\0"}]
    box.create(make_execution("run", code=code, stdin="a\0b\0", files=files))
    assert box.execution("run")["status"]["output"]["stdout"] == "2 3\n"


def test_nul_in_the_output_ends_and_is_in_sql(box: World) -> None:
    created = box.create(make_execution("run", code="print('a\\0b')"))
    status = box.execution("run")["status"]
    assert status["state"] == "Completed"
    rows = box.wait_rows(
        "select stdout, stdout_bytes from soulbox.executions"
        " where uid = %(uid)s and stdout is not null",
        uid=created["metadata"]["uid"],
    )
    assert rows == [{"stdout": "a\ufffdb\n", "stdout_bytes": 4}]


def test_code_of_exactly_256_kib_runs(box: World) -> None:
    code = "print('end')\n#"
    box.create(make_execution("run", code=code + "x" * (262_144 - len(code))))
    assert box.execution("run")["status"]["output"]["stdout"] == "end\n"


def test_odd_names_of_files_and_variables_arrive(box: World) -> None:
    code = "import os\nprint(open('ü/ö\\n.txt').read(), os.environ['a.b-c'])\n"
    files = [{"path": "ü/ö\n.txt", "content": "here"}]
    env = [{"name": "a.b-c", "value": "there"}]
    box.create(make_execution("run", code=code, files=files, env=env))
    assert box.execution("run")["status"]["output"]["stdout"] == "here there\n"


def test_longest_deadline_and_all_numbers_at_their_ends(box: World) -> None:
    box.create(
        make_execution(
            "run",
            timeoutSeconds=86_400,
            queueTimeoutSeconds=604_800,
            ttlSecondsAfterFinished=31_536_000,
            priority=-100,
            outputLimitBytes=10_485_760,
        )
    )
    assert box.execution("run")["status"]["state"] == "Completed"


def test_input_nested_deeper_than_any_decoder_reads_is_refused_and_holds_nobody_up(
    box: World,
) -> None:
    """One such object would end the operator's watches and lists, and with them every tenant's."""
    for name, levels in (("deep", 500), ("deeper", 9_000)):
        manifest = make_execution(name, namespace=box.namespace, input="HERE")
        text = json.dumps(manifest).replace('"HERE"', "[" * levels + "]" * levels)
        box.kubectl.run("create", "--filename=-", "--output=name", stdin=text)
    box.create(make_execution("run"))
    assert box.execution("run")["status"]["output"]["stdout"] == "42\n"
    for name in ("deep", "deeper"):
        box.kubectl.run(
            *("wait", "--for=condition=Finished", f"execution/{name}"),
            *("--namespace", box.namespace, "--output=name"),
        )
        words = box.kubectl.run(
            *("get", "execution", name, "--namespace", box.namespace),
            "--output=jsonpath={.status.state} {.status.reason} {.status.message}",
        )
        assert words.startswith("Failed InvalidSpec spec.input: is nested too deep")
    # Not left behind for an operator of before, which other tests may start on this cluster.
    box.kubectl.run(
        *("delete", "execution", "deep", "deeper", "--namespace", box.namespace),
        "--output=name",
    )
