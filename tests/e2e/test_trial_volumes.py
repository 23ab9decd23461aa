"""The local node's default StorageClass: workspaces get a volume, and give it back empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.cluster import storage
from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import Kubectl
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.alone
def test_volume_of_a_deleted_sandbox_is_empty_and_free_after_the_next_up(
    world: World, kubectl: Kubectl
) -> None:
    (node,) = kubectl.get("nodes")["items"]
    storage.ensure(kubectl.program, kubectl.kubeconfig, node["metadata"]["name"])
    world.create(make_sandbox("box", workspace={"persistent": True, "size": "64Mi"}))
    world.create(make_execution("write", code="open('kept', 'w').write('x'); print('written')"))
    assert world.execution("write")["status"]["output"]["stdout"] == "written\n"
    (claim,) = kubectl.get("persistentvolumeclaims", "-n", world.namespace)["items"]
    name = claim["spec"]["volumeName"]
    folder = Path(kubectl.get("persistentvolume", name)["spec"]["local"]["path"])
    assert (folder / "kept").exists()

    world.delete("sandbox", "box")
    kubectl.run("wait", "--for=jsonpath={.status.phase}=Released", "persistentvolume", name)
    storage.ensure(kubectl.program, kubectl.kubeconfig, node["metadata"]["name"])

    kubectl.run("wait", "--for=jsonpath={.status.phase}=Available", "persistentvolume", name)
    assert list(folder.iterdir()) == []
