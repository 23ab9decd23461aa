"""Three hundred ordinary programs print behind all walls what they print without them.

A program's own file says what that is, below `# expect:`. They run on the real runner, in a pod
without a cluster, several at a time as an agent's would.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.attack_pod import reason_to_skip, start_pod
from tests.support.programs import PROGRAMS, Program
from tests.support.runner_client import Runner, text

AT_ONCE = 4


def run(runner: Runner, program: Program) -> dict[str, Any]:
    """Run it by a connection of its own, and let go of it."""
    own, uid = replace(runner, connection=None), program.name.replace("/", "-").replace("_", "-")
    try:
        doc = own.run(
            uid, program.code, command=program.command, extension=program.suffix
        )
        assert own.release(uid).status == 204
        return doc
    finally:
        own.disconnect()


@pytest.fixture(scope="module")
def ended(binary: Path) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """Every program's run, begun at once."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    with (
        start_pod(binary, f"--max-concurrent={AT_ONCE}") as runner,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        yield {program.name: pool.submit(run, runner, program) for program in PROGRAMS}


def test_there_are_three_hundred() -> None:
    assert len(PROGRAMS) >= 300


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_prints_what_it_prints_without_walls(
    program: Program, ended: dict[str, Future[dict[str, Any]]]
) -> None:
    doc = ended[program.name].result()
    said = text(doc["output"]["stderr"])
    assert text(doc["output"]["stdout"]) == program.want, (doc["result"], said)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}, said
