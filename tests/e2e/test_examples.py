"""Every example does what its comments promise; nothing in examples/ goes untested."""

from pathlib import Path

import pytest
import yaml

from tests.support.fix_kube import ROOT
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# state and stdout of each Execution, by file; None: that it wrote something is enough.
WANTED: dict[str, dict[str, tuple[str, str | None]]] = {
    "hello.yaml": {"hello": ("Completed", "Hello from SoulBox\n6 * 7 = 42\n")},
    "three-executions.yaml": {f"three-{n}": ("Completed", None) for n in (1, 2, 3)},
    "one-shot.yaml": {"one-shot": ("Completed", None)},
    "files-and-stdin.yaml": {"files-and-stdin": ("Completed", None)},
    "failing.yaml": {"failing": ("Failed", "age: 42\n")},
    "quota.yaml": {},
}


def test_every_example_is_listed_here() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.yaml")} == set(WANTED)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_example(world: World, name: str) -> None:
    path = Path(ROOT / "examples" / name)
    world.kubectl.run("apply", "--namespace", world.namespace, "--filename", str(path))
    kinds = [document["kind"] for document in yaml.safe_load_all(path.read_text())]
    assert kinds.count("Execution") == len(WANTED[name])
    for execution, (state, stdout) in WANTED[name].items():
        status = world.execution(execution)["status"]
        assert status["state"] == state
        if stdout is None:
            assert status["output"]["stdout"]
        else:
            assert status["output"]["stdout"] == stdout
