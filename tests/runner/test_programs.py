"""What programs of all kinds expect of a machine, and get from the real runner."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.support.runner_client import Runner, start_runner, text

PYTHON = ["python3"]
BASH = {"command": ["bash"], "extension": ".sh"}


def out(doc: dict[str, Any]) -> str:
    """stdout of a run that ended well."""
    assert doc["result"].get("exitCode") == 0, (doc["result"], text(doc["output"]["stderr"]))
    return text(doc["output"]["stdout"])


# Last output


def test_output_through_a_child_that_outlives_the_program_arrives(runner: Runner) -> None:
    for number in range(20):
        doc = runner.run(f"a{number}", "exec > >(sed 's/^/> /'); echo one; echo two", **BASH)
        assert out(doc) == "> one\n> two\n"
    # The second child begins to write when the first is gone; what they write is whole.
    code = "exec > >(gzip -c | gzip -dc | tee log) 2>&1; seq 20000"
    assert runner.run("pipeline", code, **BASH)["result"]["exitCode"] == 0
    want = "".join(f"{n}\n" for n in range(1, 20_001))
    assert runner.stored("pipeline", "stdout").decode() == want
    assert (runner.workspace / "log").read_text() == want


def test_end_of_the_program_is_not_that_of_its_children(runner: Runner) -> None:
    """A daemon does not live on, whether it holds the output or not; the exit code is the
    program's, and so is the duration."""
    for uid, to in (("holds", ""), ("lets-go", " > /dev/null 2>&1")):
        doc = runner.run(uid, f"sleep 600{to} &\necho $!; exit 3", **BASH)
        assert doc["result"]["exitCode"] == 3
        pid = int(text(doc["output"]["stdout"]))
        assert not os.path.exists(f"/proc/{pid}")
        assert "leftAtWork" not in doc["result"]
    # One that never rests is ended too.
    busy = runner.run("busy", "while :; do :; done &\necho $!", **BASH)
    assert not os.path.exists(f"/proc/{out(busy).strip()}")
    assert busy["result"]["leftAtWork"] is True


def test_run_that_is_ended_ends_with_children_that_write_on(runner: Runner) -> None:
    code = "(trap '' TERM; while :; do echo more; done) &\necho $! > pid; wait"
    doc = runner.run("a", code, timeoutSeconds=1, **BASH)
    assert doc["result"]["outcome"] == "TimedOut"
    assert not os.path.exists(f"/proc/{(runner.workspace / 'pid').read_text().strip()}")


# Files


def test_source_that_is_written_anew_is_what_is_imported(runner: Runner) -> None:
    """Byte code counts as current when size and whole-second time are the source's."""
    # As an earlier run with byte code would have left it, and a test runner.
    env = [{"name": "PYTHONDONTWRITEBYTECODE", "value": ""}]
    for number in range(6):
        files = [
            {"path": "m.py", "content": f"V = {number}\n"},
            {"path": "pkg/sub/n.py", "content": f"V = {number}\n"},
        ]
        code = "import m, pkg.sub.n; print(m.V, pkg.sub.n.V)"
        doc = runner.run(f"given{number}", code, command=PYTHON, files=files, env=env)
        assert out(doc) == f"{number} {number}\n"
    assert (runner.workspace / "pkg/sub/__pycache__").is_dir()
    # A program may write the source itself.
    for number in range(6):
        code = f"open('own.py', 'w').write('V = {number}\\n'); import own; print(own.V)"
        doc = runner.run(f"own{number}", code, command=PYTHON)
        assert out(doc) == f"{number}\n"


def test_only_the_cache_of_what_is_written_goes(runner: Runner) -> None:
    plant = (
        "import os\nos.makedirs('__pycache__'); os.makedirs('d/real')\n"
        "os.symlink('real', 'd/__pycache__')\n"
        "for name in ('__pycache__/m.cpython-311.pyc', '__pycache__/m.cpython-311-pytest-8.pyc',"
        " '__pycache__/mm.cpython-311.pyc', 'd/real/m.keep', 'm.pyc'):\n open(name, 'w')\n"
    )
    out(runner.run("plant", plant))
    files = [{"path": "m.py", "content": ""}, {"path": "d/m.py", "content": ""}]
    out(runner.run("write", "", files=files))
    left = sorted(
        str(path.relative_to(runner.workspace))
        for path in runner.workspace.rglob("*")
        if path.is_file() and path.suffix != ".py"
    )
    assert left == ["__pycache__/mm.cpython-311.pyc", "d/real/m.keep"]


def test_script_can_be_executed_and_a_mode_can_be_asked_for(runner: Runner) -> None:
    files = [
        {"path": "run.sh", "content": "#!/bin/sh\necho hi\n"},
        {"path": "bin/tool", "content": "echo tool\n", "mode": 0o750},
        {"path": "key", "content": "#!secret", "mode": 0o400},
        {"path": "data", "content": "x"},
    ]
    code = "./run.sh && bin/tool && stat -c %a run.sh bin/tool key data"
    doc = runner.run("a", code, files=files, **BASH)
    assert out(doc).split() == ["hi", "tool", "755", "750", "400", "644"]
    refused = runner.put("b", code="", files=[{"path": "f", "content": "", "mode": 0o1000}])
    assert (refused.status, refused.code) == (400, "Invalid")


def test_file_that_cannot_be_written_says_why_in_words_of_the_workspace(runner: Runner) -> None:
    out(runner.run("plant", "import os; open('a', 'w'); os.makedirs('d/e')"))
    for uid, path, want in (
        ("under", "a/b/c", '"a" is a file in the workspace, not a directory'),
        ("over", "d", "the workspace has a directory of that name"),
    ):
        doc = runner.run(uid, "", files=[{"path": path, "content": ""}])
        assert doc["result"]["outcome"] == "StartFailed"
        assert doc["result"]["message"] == f'files: "{path}" cannot be written: {want}'


def test_captured_file_with_brackets_in_its_name_is_that_file(runner: Runner) -> None:
    code = "for n in ('report [1].csv', 'report 1.csv', 'a[', 'b1'): open(n, 'w').write(n)"
    for uid, globs, want in (
        ("name", ["report [1].csv"], ["report [1].csv"]),
        ("escaped", ["report [[]1].csv"], ["report [1].csv"]),
        ("glob", ["report [1-9]*", "b[12]"], ["b1", "report 1.csv"]),
        ("bracket", ["*[[]*"], ["a[", "report [1].csv"]),
    ):
        doc = runner.run(uid, code, captureFiles=globs)
        assert [file["path"] for file in doc["files"]] == want
        assert "filesOmitted" not in doc


# Names


def test_code_has_the_same_name_in_each_run(runner: Runner) -> None:
    traces = set()
    for uid in ("a", "b"):
        doc = runner.run(uid, "import sys; print(sys.argv[0], __file__); 1/0", command=PYTHON)
        path = f"{runner.workspace}/.soulbox-main.py"
        assert text(doc["output"]["stdout"]) == f"{path} {path}\n"
        traces.add(text(doc["output"]["stderr"]))
    assert len(traces) == 1
    doc = runner.run("c", "echo $0; nosuch", **BASH)
    assert text(doc["output"]["stdout"]) == f"{runner.workspace}/.soulbox-main.sh\n"
    assert ".soulbox-main.sh: line 1: nosuch: command not found" in text(doc["output"]["stderr"])


def test_code_of_runs_at_once_does_not_clash(binary: Path, base: Path) -> None:
    """Each prints its own number only after all have been started."""
    code = (
        "import os, sys, time\nopen(f'begun-{n}', 'w')\n"
        "while len([f for f in os.listdir('.') if f.startswith('begun')]) < 3: time.sleep(0.01)\n"
        "same = open(__file__).read() == open(sys.argv[0]).read()\n"
        "print({n}, same, os.path.basename(__file__))\n"
    )
    with start_runner(binary, base, "--max-concurrent=3") as runner:
        for n in range(3):
            # Not an f-string there: the braces of Python's own stay.
            mine = code.replace("{n}", str(n))
            assert runner.put(f"r{n}", code=mine, command=PYTHON).status == 201
        names = set()
        for n in range(3):
            number, same, name = out(runner.finish(f"r{n}")).split()
            assert (number, same) == (str(n), "True")
            names.add(name)
        assert names == {".soulbox-main.py", ".soulbox-main-2.py", ".soulbox-main-3.py"}
        doc = runner.run("after", "import os; print(os.path.basename(__file__))", command=PYTHON)
        assert out(doc) == ".soulbox-main.py\n"
        assert [p for p in runner.workspace.iterdir() if p.name.startswith(".soulbox")] == []


# Environment


def test_environment_of_the_image_reaches_programs(binary: Path, base: Path) -> None:
    image = {
        "PATH": "/opt/tools:/usr/local/bin:/usr/bin:/bin",
        "JAVA_HOME": "/opt/jdk",
        "LANG": "C",
        "HOME": "/root",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "HOSTNAME": "pod-1",
        "SOULBOX_CPU_MILLICORES": "1",
    }
    with start_runner(binary, base, env=image) as runner:
        doc = runner.run("a", "env -0", env=[{"name": "JAVA_HOME", "value": "/mine"}], **BASH)
        found = dict(entry.split("=", 1) for entry in out(doc).strip("\0").split("\0"))
        assert found["PATH"] == image["PATH"]
        assert found["LANG"] == "C"
        assert found["JAVA_HOME"] == "/mine"
        assert found["HOME"] == str(runner.workspace)
        assert (found["USER"], found["LOGNAME"], found["TERM"]) == ("sandbox", "sandbox", "dumb")
        theirs = [n for n in found if n.startswith(("SOULBOX", "KUBERNETES")) or n == "HOSTNAME"]
        assert theirs == ["SOULBOX_RESULT"]
        doc = runner.run("b", "import getpass; print(getpass.getuser())")
        assert out(doc) == "sandbox\n"
        if (os.cpu_count() or 1) > 1:
            doc = runner.run("c", "nproc; echo $PYTHON_CPU_COUNT", **BASH)
            assert out(doc).split() == ["1", "1"]
            doc = runner.run("d", "nproc", env=[{"name": "OMP_NUM_THREADS", "value": "2"}], **BASH)
            assert out(doc) == "2\n"


def test_limit_of_open_files_can_be_raised_by_the_program(runner: Runner) -> None:
    code = """
import os, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 5000), hard))
held = [open('/dev/null') for _ in range(min(hard, 5000) - 10)]
print(soft, hard)
"""
    doc = runner.run("a", code)
    hard = int(
        Path(f"/proc/{runner.process.pid}/limits").read_text().split("Max open files")[1].split()[1]
    )
    assert out(doc) == f"1024 {min(hard, 65536)}\n"
