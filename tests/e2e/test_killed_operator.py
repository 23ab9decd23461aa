"""The operator killed at a random moment: every Execution ends, once, and ran once.

`SOULBOX_TEST_KILLS=10 SOULBOX_TEST_RUNS=200` is the full size.
"""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_operator import OperatorProcess
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KILLS = int(os.environ.get("SOULBOX_TEST_KILLS", "2"))
RUNS = int(os.environ.get("SOULBOX_TEST_RUNS", "24"))
SEED = int(os.environ.get("SOULBOX_TEST_SEED", "20261125"))
BOXES = 4
# What ran says so beside all others: one byte for each time.
CODE = (
    "import os, time\n"
    "name = {name!r}\n"
    "os.makedirs('ran', exist_ok=True)\n"
    "with open(f'ran/{{name}}', 'a') as file:\n"
    "    file.write('x')\n"
    "time.sleep({seconds})\n"
    "print(name)\n"
)
COUNT = (
    "import json, os\n"
    "names = os.listdir('ran') if os.path.isdir('ran') else []\n"
    "print(json.dumps({name: os.path.getsize('ran/' + name) for name in names}))\n"
)


@pytest.mark.parametrize("kill", range(KILLS))
def test_every_execution_ends_once_and_ran_once(
    world: World, operator: OperatorProcess, capsys: pytest.CaptureFixture[str], kill: int
) -> None:
    dice = random.Random(f"{SEED}/{kill}")
    boxes = [f"box-{number}" for number in range(BOXES)]
    resources = {"cpu": "300m", "memory": "128Mi"}
    for box in boxes:
        world.create(make_sandbox(box, resources=resources, maxConcurrentExecutions=2))
    for box in boxes:
        world.sandbox(box)
    names = [f"run-{number:03}" for number in range(RUNS)]
    items = []
    for number, name in enumerate(names):
        code = CODE.format(name=name, seconds=round(dice.uniform(0, 0.2), 3))
        ref = {"name": boxes[number % BOXES]}
        items.append(make_execution(name, world.namespace, code=code, sandboxRef=ref))
    crowd = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    after = dice.uniform(0.0, RUNS * 0.06)
    with ThreadPoolExecutor(max_workers=1) as aside:
        created = aside.submit(world.kubectl.run, "create", "--filename=-", stdin=crowd)
        world.pause(after)  # a random moment, while they are created, run and end
        operator.kill()
        created.result()
    ended = sum(one["status"]["state"] == "Completed" for one in executions(world, names))
    operator.start()
    world.poll(
        lambda: all("completionTime" in one["status"] for one in executions(world, names)),
        f"{RUNS} ends",
        seconds=PATIENCE_SECONDS + RUNS,
    )
    found = executions(world, names)
    assert len(found) == RUNS
    for one in found:
        status = one["status"]
        assert status["state"] == "Completed", status
        assert status["output"]["stdout"] == one["metadata"]["name"] + "\n"
        assert status["attempt"] == 1
    ran: dict[str, int] = {}
    for box in boxes:
        world.create(make_execution(f"count-{box}", code=COUNT, sandboxRef={"name": box}))
        ran |= json.loads(world.execution(f"count-{box}")["status"]["output"]["stdout"])
    assert set(ran) == set(names)
    assert set(ran.values()) == {1}, {name: times for name, times in ran.items() if times != 1}
    with capsys.disabled():
        print(f"killed after {after:.2f} s, {ended} of {RUNS} had ended: {len(ran)} ran, each once")


def executions(world: World, names: list[str]) -> list[dict]:
    """Those of these names."""
    wanted = set(names)
    return [one for one in world.list("executions") if one["metadata"]["name"] in wanted]
