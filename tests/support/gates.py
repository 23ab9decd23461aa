"""Programs that go on once the test says so, or once they have met, instead of after some seconds:
what has to happen meanwhile may take as long as it likes."""

from __future__ import annotations

from tests.support.fix_kube import KubectlError
from tests.support.waiting import World

# In front of what the program does afterwards.
UNTIL_GO = (
    "import os, time\n"
    "print('begun', flush=True)\n"
    "while not os.path.exists('/workspace/go'):\n"
    "    time.sleep(0.02)\n"
)


def go(world: World, sandbox: str = "box", file: str = "go") -> None:
    """Let what waits for that file in a Sandbox go on; what comes later does not wait."""
    try:
        world.shell(world.pod_of(sandbox), "touch", f"/workspace/{file}")
    except KubectlError as error:
        # With a program that ends everything in its pod is killed, which may be us.
        if "exit code 137" not in str(error):
            raise


def meeting(name: str, other: str) -> str:
    """A program that ends only if it runs at the same time as its counterpart."""
    return (
        f"import os, time\nopen({name!r}, 'w').close()\n"
        f"while not os.path.exists({other!r}):\n    time.sleep(0.02)\n"
    )
