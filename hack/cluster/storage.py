"""The local node's default StorageClass: a stock of folders, each a PersistentVolume.

Nothing runs for it. A volume whose claim is gone is emptied and offered again by the next `up`.
Not hostPath volumes: the kubelet gives those to no fsGroup, so no sandbox could write there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hack.cluster.config import DATA_DIR
from hack.cluster.console import run

# As kind and minikube name theirs.
CLASS = "standard"
_FOLDER = DATA_DIR / "volumes"
# A guess: as many persistent workspaces as a trial makes before somebody types `make up` again.
_VOLUMES = 16
_CAPACITY = "10Gi"


def ensure(kubectl: str | Path, kubeconfig: str | Path, node: str) -> None:
    """Make the class and its volumes, and free those that were given back."""
    command = [kubectl, "--kubeconfig", kubeconfig]
    listed = json.loads(run([*command, "get", "persistentvolumes", "--output=json"]))
    for name in given_back(listed["items"]):
        run([*command, "delete", "persistentvolume", name])
        shutil.rmtree(_FOLDER / name, ignore_errors=True)
    manifest = manifests(node)
    for volume in manifest["items"][1:]:
        Path(volume["spec"]["local"]["path"]).mkdir(parents=True, exist_ok=True)
    run([*command, "apply", "--server-side", "--force-conflicts", "-f", "-"],
        stdin=json.dumps(manifest))  # fmt: skip


def given_back(volumes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of our volumes whose claims are gone."""
    return [
        str(volume["metadata"]["name"])
        for volume in volumes
        if volume["spec"].get("storageClassName") == CLASS
        and volume["spec"].get("local", {}).get("path", "").startswith(f"{_FOLDER}/")
        and volume.get("status", {}).get("phase") in ("Released", "Failed")
    ]


def manifests(node: str) -> dict[str, Any]:
    """The class, and the volumes on this node."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    volumes = [_volume(f"{CLASS}-{number}", node) for number in range(1, _VOLUMES + 1)]
    return {"apiVersion": "v1", "kind": "List", "items": [storage_class, *volumes]}


def _volume(name: str, node: str) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": _CAPACITY},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "local": {"path": str(_FOLDER / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
