"""What programs find in the images of the classes: pip, locales, libraries, a writable HOME."""

from __future__ import annotations

import json

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.programs import LIBRARIES
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PIP = """
import io, json, locale, pathlib, subprocess, sys, zipfile

def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr

with zipfile.ZipFile("small-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("small.py", "ANSWER = 42\\n")
    wheel.writestr("small-1.0.dist-info/METADATA",
                   "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n")
    wheel.writestr("small-1.0.dist-info/WHEEL",
                   "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\n"
                   "Tag: py3-none-any\\n")
    wheel.writestr("small-1.0.dist-info/RECORD", "")
pip = (sys.executable, "-m", "pip")
print(json.dumps({
    "offline": run(*pip, "install", "six"),
    "wheel": run(*pip, "install", "./small-1.0-py3-none-any.whl"),
    "import": run(sys.executable, "-c", "import small; print(small.ANSWER)"),
    "venv": run(sys.executable, "-m", "venv", "apart"),
    "venv pip": run("apart/bin/pip", "install", "./small-1.0-py3-none-any.whl"),
    "venv offline": run("apart/bin/pip", "install", "six"),
    "command": run("pip", "--version"),
    "locale": locale.setlocale(locale.LC_ALL, ""),
}))
"""


def printed(world: World, name: str) -> str:
    """What an Execution that completed has printed."""
    status = world.execution(name)["status"]
    assert status["state"] == "Completed", (status["message"], status.get("output"))
    return str(status["output"]["stdout"])


def test_python_has_pip_and_venv_and_says_that_there_is_no_network(world: World) -> None:
    world.create(make_sandbox("box"))
    world.create(make_execution("pip", code=PIP))
    world.create(make_execution("next", code="import small; print(small.ANSWER)"))
    seen = json.loads(printed(world, "pip"))
    for name in ("offline", "venv offline"):
        code, said = seen[name]
        assert code == 1
        assert "Temporary failure in name resolution" in said, "a word about the network"
        assert "No matching distribution found for six" in said
    for name in ("wheel", "import", "venv", "venv pip", "command"):
        assert seen[name][0] == 0, seen[name]
    assert seen["import"][1] == "42\n"
    assert "notice" not in seen["wheel"][1], "nothing about newer versions"
    assert seen["locale"] == "C.UTF-8"
    assert printed(world, "next") == "42\n"


def test_bash_counts_letters_and_has_awk_with_its_maths(world: World) -> None:
    code = "printf 'häß\\n' | wc -m\nawk 'BEGIN { print 2 ^ 10, substr(\"häß\", 2) }'\n"
    world.create(make_execution("letters", sandboxRef=None, className="bash", code=code))
    assert printed(world, "letters") == "4\n1024 äß\n"


DATA = """
import json, os, matplotlib, numpy, pandas, PIL, scipy, requests, openpyxl
import scipy.linalg, threading
import matplotlib.pyplot as plt
numpy.linalg.inv(numpy.random.default_rng(1).random((300, 300)))
scipy.linalg.inv(numpy.eye(300))
plt.plot([1, 2]); plt.savefig("a.png")
frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
frame.to_excel("a.xlsx"); assert pandas.read_excel("a.xlsx", index_col=0).equals(frame)
print(json.dumps({
    "backend": matplotlib.get_backend().lower(),
    "tasks": len(os.listdir("/proc/self/task")),
    "cached": os.path.exists(numpy.__cached__),
}))
"""


def test_python_data_computes_draws_and_starts_few_threads(world: World) -> None:
    world.create(make_sandbox("box", className="python-data"))
    world.create(make_execution("data", code=DATA))
    seen = json.loads(printed(world, "data"))
    assert seen["backend"] == "agg"
    assert seen["tasks"] <= 6, "BLAS starts no thread for each CPU of a large node"
    assert seen["cached"], "compiled ahead: the root is read-only"
    assert LIBRARIES
    for number, program in enumerate(LIBRARIES):
        world.create(make_execution(f"library-{number}", code=program.code))
        assert printed(world, f"library-{number}") == program.want, program.name


def test_node_runs_modules_and_child_processes(world: World) -> None:
    code = (
        'import {execFileSync} from "node:child_process";\n'
        'import {writeFileSync, readFileSync} from "node:fs";\n'
        'writeFileSync("a.txt", "häß");\n'
        'const said = execFileSync("node", ["-e", "console.log(6*7)"]).toString().trim();\n'
        'console.log(said, readFileSync("a.txt", "utf8"));\n'
    )
    world.create(make_execution("node", sandboxRef=None, className="node", language="module",
                                code=code))  # fmt: skip
    assert printed(world, "node") == "42 häß\n"
