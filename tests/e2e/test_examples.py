"""Every example does what its comments promise; nothing in examples/ goes untested."""

from pathlib import Path

import pytest
import yaml

from tests.support.fix_kube import ROOT
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# State and stdout of each Execution, by file; None: that it wrote something is enough. A file that
# is not named here has no Executions.
WANTED: dict[str, dict[str, tuple[str, str | None]]] = {
    "hello.yaml": {"hello": ("Completed", "Hello from SoulBox\n6 * 7 = 42\n")},
    "three-executions.yaml": {f"three-{n}": ("Completed", None) for n in (1, 2, 3)},
    "one-shot.yaml": {"one-shot": ("Completed", None)},
    "files-and-stdin.yaml": {"files-and-stdin": ("Completed", None)},
    "failing.yaml": {"failing": ("Failed", "age: 42\n")},
    "captured-files.yaml": {"captured-files": ("Completed", "three files\n")},
    "queue.yaml": {
        "queue-first": ("Completed", "first\n"),
        "queue-urgent": ("Completed", "urgent\n"),
        "queue-patient": ("Completed", "patient\n"),
        "queue-impatient": ("Timeout", ""),
    },
    "idempotent.yaml": {"idempotent": ("Completed", "the same, however often it runs\n")},
    "environment.yaml": {"environment": ("Completed", "16 north blue\n")},
    "idle-and-suspend.yaml": {"idle-and-suspend": ("Completed", "in use\n")},
    "persistent-workspace.yaml": {"persistent-workspace": ("Completed", "visited\n")},
    "data.yaml": {
        "data": (
            "Completed",
            "north: 404 in all, 14.5 more each month\nsouth: 261 in all, 7.5 more each month\n",
        )
    },
    "node.yaml": {"node": ("Completed", "total: 29\n")},
    "own-image.yaml": {"own-image": ("Completed", "Hello from Ruby\n55\n")},
    "network-profile.yaml": {"network-profile": ("Completed", "ready for the web\n")},
}
# Examples that bring a class along: it is not the namespace's and goes with the test.
CLASSES = {"network-profile.yaml": "python-web", "own-image.yaml": "ruby"}


NAMES = sorted(path.name for path in (ROOT / "examples").glob("*.yaml"))


def test_what_is_listed_here_exists() -> None:
    assert set(WANTED) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_example(world: World, name: str) -> None:
    path = Path(ROOT / "examples" / name)
    world.kubectl.run("apply", "--namespace", world.namespace, "--filename", str(path))
    kinds = [document["kind"] for document in yaml.safe_load_all(path.read_text())]
    wanted = WANTED.get(name, {})
    assert kinds.count("Execution") == len(wanted)
    for execution, (state, stdout) in wanted.items():
        status = world.execution(execution)["status"]
        assert status["state"] == state
        if stdout is None:
            assert status["output"]["stdout"]
        else:
            assert status.get("output", {}).get("stdout", "") == stdout
    if name in CLASSES:
        for sandbox in world.kubectl.get("sandboxes", "-n", world.namespace)["items"]:
            world.delete("sandbox", sandbox["metadata"]["name"])
            world.wait_gone("sandbox", sandbox["metadata"]["name"])
        world.kubectl.run("delete", "sandboxclass", CLASSES[name])
