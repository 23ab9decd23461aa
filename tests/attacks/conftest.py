"""Attacks are tried on the real runner, in a pod without a cluster (support/attack_pod.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attack_pod import reason_to_skip, start_pod
from tests.support.runner_client import Runner


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = reason_to_skip()
    for item in items:
        if reason and "attacks" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def pod(binary: Path) -> Iterator[Runner]:
    """With every wall, as in a cluster. For attacks that leave nothing behind."""
    with start_pod(binary, "--max-concurrent=2") as runner:
        yield runner


@pytest.fixture(scope="module")
def pod_without_landlock(binary: Path) -> Iterator[Runner]:
    """What a kernel before Linux 5.19 gives."""
    with start_pod(binary, "--landlock=false", "--max-concurrent=2") as runner:
        yield runner


@pytest.fixture(scope="module")
def pod_without_seccomp(binary: Path) -> Iterator[Runner]:
    """The control: neither filter nor Landlock, so an attack that is refused here is no proof."""
    with start_pod(binary, "--landlock=false", "--seccomp=false", "--max-concurrent=2") as runner:
        yield runner
