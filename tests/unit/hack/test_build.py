"""Go programs are built once, however many ask for them at the same time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hack.cluster import build
from hack.cluster.config import Paths

CALLERS = 4


def test_callers_at_once_get_one_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/hello\n\ngo 1.24.0\n")
    (module / "main.go").write_text("package main\n\nfunc main() {}\n")
    program = build.Program(name="hello", module=module)
    builds: list[Sequence[str | Path]] = []
    together = threading.Barrier(CALLERS)

    def compile_it(command: Sequence[str | Path], **_: Any) -> str:
        builds.append(command)
        Path(command[list(command).index("-o") + 1]).write_text("a program")
        return ""

    monkeypatch.setattr(build, "run", compile_it)

    def ask(_: int) -> Path:
        together.wait(timeout=30)
        return build.ensure(program, Paths(state=tmp_path, cache=tmp_path / "cache"))

    with ThreadPoolExecutor(max_workers=CALLERS) as pool:
        found = set(pool.map(ask, range(CALLERS)))
    assert len(builds) == 1
    assert [path.read_text() for path in found] == ["a program"]
