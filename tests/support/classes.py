"""Classes of a test's own: what others use is not changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.waiting import World


@contextmanager
def class_like(world: World, base: str, **spec: Any) -> Iterator[str]:
    """The name of a class made from one that is there."""
    known = world.kubectl.get("sandboxclass", base)
    name = f"{base}-{world.namespace}"
    world.kubectl.create({**known, "metadata": {"name": name}, "spec": {**known["spec"], **spec}})
    try:
        yield name
    finally:
        world.kubectl.run("delete", "sandboxclass", name)
