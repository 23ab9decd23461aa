"""The local node's stock of volumes."""

from __future__ import annotations

from typing import Any

from hack.cluster import storage


def volume(name: str, phase: str, **spec: Any) -> dict[str, Any]:
    made = storage.manifests("here")["items"][1]
    return {
        "metadata": {"name": name},
        "spec": {**made["spec"], **spec},
        "status": {"phase": phase},
    }


def test_class_is_the_default_and_binds_where_the_pod_runs() -> None:
    storage_class, *volumes = storage.manifests("here")["items"]
    assert storage_class["metadata"]["annotations"] == {
        "storageclass.kubernetes.io/is-default-class": "true"
    }
    assert storage_class["volumeBindingMode"] == "WaitForFirstConsumer"
    assert len({one["spec"]["local"]["path"] for one in volumes}) == len(volumes)
    assert all(one["spec"]["storageClassName"] == storage.CLASS for one in volumes)


def test_only_our_own_volumes_that_were_given_back_are_emptied() -> None:
    listed = [
        volume("standard-1", "Bound"),
        volume("standard-2", "Released"),
        volume("standard-3", "Available"),
        volume("theirs", "Released", local={"path": "/srv/data"}),
        volume("nfs", "Released", local={}, storageClassName="nfs"),
    ]
    assert storage.given_back(listed) == ["standard-2"]
