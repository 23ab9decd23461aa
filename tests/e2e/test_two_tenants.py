"""What the operator refuses one tenant about another: A44, C04, C05, C10 to C13, F01, F02, F05.

What the API server refuses is in tests/api/test_tenants_apart.py.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_operator import OperatorProcess, Places
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KEYS = "soulbox.dev/output-keys-sha256"
SECRET = "s3cret-of-theirs"


@pytest.fixture
def theirs(places: Places, world: World, operator: OperatorProcess) -> Iterator[World]:
    """The other tenant's namespace."""
    name = places.take()
    yield World(world.kubectl, name, world.dsn, operator.log)
    places.give_back(name)


def keyed(name: str, key: str, **spec: Any) -> dict[str, Any]:
    """An Execution whose output is for the owner of a key."""
    made = make_execution(name, **spec)
    hashed = hashlib.sha256(key.encode()).hexdigest()
    return {**made, "metadata": {**made["metadata"], "annotations": {KEYS: hashed}}}


def read(operator: OperatorProcess, world: World, name: str, key: str | None) -> int:
    """The status of a call for an Execution's live output."""
    url = f"http://127.0.0.1:{operator.port}/v1/namespaces/{world.namespace}/executions/{name}"
    headers = {} if key is None else {"Soulbox-Output-Key": key}
    asked = urllib.request.Request(f"{url}/output/stdout", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def keeps_waiting(world: World, name: str, words: str) -> str:
    """The message of an Execution once it says what it waits for."""
    found = world.wait(
        "execution",
        name,
        lambda one: words in one.get("status", {}).get("message", ""),
        f"a message with {words!r}",
    )
    return str(found["status"]["message"])


def test_operator_refuses_one_tenant_everything_of_the_other(
    world: World, theirs: World, operator: OperatorProcess
) -> None:
    for role in ("soulbox-view", "soulbox-edit"):
        world.kubectl.run("create", "rolebinding", role, "--namespace", world.namespace,
                          "--clusterrole", role, "--user", "mallory")  # fmt: skip
    mallory = World(world.kubectl.acting_as("mallory"), world.namespace, world.dsn, operator.log)
    small = {"cpu": "50m"}
    victim = theirs.create(make_sandbox("victim", user="bob", resources=small))
    world.create(make_sandbox("bobs", user="bob", resources=small))
    mallory.create(make_sandbox("own", resources=small))
    for kind, fields in (("Secret", {"stringData": {"k": SECRET}}), ("ConfigMap", {"data": {}})):
        for place in (world, theirs):
            place.create(
                {"apiVersion": "v1", "kind": kind, "metadata": {"name": "there"}, **fields}
            )
    theirs.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "only-theirs"},
                   "data": {"k": "print(1)"}})  # fmt: skip
    pod = theirs.sandbox("victim")["status"]["pod"]
    world.sandbox("bobs")

    def code(**source: Any) -> dict[str, Any]:
        return {"sandboxRef": {"name": "own"}, "code": None, "codeFrom": source}

    mallory.create(make_execution("in-bobs", sandboxRef={"name": "bobs"}, queueTimeoutSeconds=60))
    mallory.create(make_execution("in-theirs", sandboxRef={"name": "victim"}))
    for name in ("there", "nowhere"):
        mallory.create(
            make_execution(f"secret-{name}", **code(secretKeyRef={"name": name, "key": "k"}))
        )
    mallory.create(
        make_execution("config", **code(configMapKeyRef={"name": "only-theirs", "key": "k"}))
    )
    owned = make_execution("owned", sandboxRef={"name": "own"})
    owner = {"apiVersion": "soulbox.dev/v1alpha1", "kind": "Sandbox", "name": "victim",
             "uid": victim["metadata"]["uid"]}  # fmt: skip
    mallory.create({**owned, "metadata": {**owned["metadata"], "ownerReferences": [owner]}})
    # C05: as if no policy were there. Who may write the mark is tests/api's.
    marked = make_execution("marked", sandboxRef={"name": "own"}, code="print('ran')")
    mark = {"soulbox.dev/dispatched": f"{pod['uid']}/1"}
    world.create({**marked, "metadata": {**marked["metadata"], "annotations": mark}})

    # A44: nobody's code runs before, or beside, that of a Sandbox's user.
    ended = world.execution("in-bobs")["status"]
    assert (ended["reason"], "startTime" in ended) == ("InvalidSpec", False), ended
    assert 'is billed to "bob" and runs only Executions of that spec.user' in ended["message"]
    assert '"victim" does not exist' in keeps_waiting(world, "in-theirs", "victim")
    # C11, C12: what exists is not told, nor what is in it.
    told = [keeps_waiting(world, f"secret-{name}", "label") for name in ("there", "nowhere")]
    assert told[0].replace('"there"', '"nowhere"') == told[1]
    assert "does not exist" in keeps_waiting(world, "config", "only-theirs")
    world.wait_gone("execution", "owned")
    assert "deletionTimestamp" not in theirs.get("sandbox", "victim")["metadata"]
    lost = world.execution("marked")["status"]
    assert (lost["state"], lost.get("output", {}).get("stdout", "")) == ("Failed", ""), lost

    # F: output is for whoever has the key that the Execution names, and for nobody else.
    slow = "import time\nprint('said', flush=True)\ntime.sleep(300)"
    theirs.create(keyed("run", "bobs-key", sandboxRef={"name": "victim"}, code=slow, user="bob"))
    mallory.create(keyed("run", "own-key", sandboxRef={"name": "own"}, code=slow))
    for place, key in ((theirs, "bobs-key"), (world, "own-key")):
        place.wait("execution", "run", lambda one: "startTime" in one.get("status", {}), "a start")
        place.poll(lambda p=place, k=key: read(operator, p, "run", k) == 200, "the key to be known")  # type: ignore[misc]
    hashed = hashlib.sha256(b"bobs-key").hexdigest()
    for key in (None, "", "own-key", "BOBS-KEY", "bobs-kez", hashed, hashed.upper(), "x" * 4000):
        assert read(operator, theirs, "run", key) == 404, key
    assert read(operator, world, "run", "bobs-key") == 404
    assert read(operator, theirs, "none", "bobs-key") == 404
    mallory.patch("execution", "run", {"metadata": {"annotations": {KEYS: None}}})
    world.poll(lambda: read(operator, world, "run", "own-key") == 404, "the key to be forgotten")
    for one in (world, theirs):
        one.patch("execution", "run", {"spec": {"cancel": True}})
