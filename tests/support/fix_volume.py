"""PersistentVolumes for tests on a cluster without a provisioner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fix_kube import Kubectl


@pytest.fixture
def volume(kubectl: Kubectl, namespace: str, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes a PersistentVolume by hand, as an administrator without a provisioner does; given
    the name of its storage class, "" for none, which it gives back."""
    made: list[str] = []
    (node,) = kubectl.get("nodes")["items"]

    def make(storage_class: str) -> str:
        name = f"by-hand-{namespace}-{len(made)}"
        kubectl.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "64Mi"},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": storage_class,
                    "local": {"path": str(tmp_path)},
                    "nodeAffinity": {
                        "required": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {
                                            "key": "kubernetes.io/hostname",
                                            "operator": "In",
                                            "values": [
                                                node["metadata"]["labels"]["kubernetes.io/hostname"]
                                            ],
                                        }
                                    ]
                                }
                            ]
                        }
                    },
                },
            }
        )
        made.append(name)
        return storage_class

    yield make
    for name in made:
        kubectl.run("delete", "persistentvolume", name, "--wait=false")
