"""What is made from sources is made once, however many ask for it at the same time."""

from __future__ import annotations

import os
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


def test_layer_that_two_images_share_is_made_once(tmp_path: Path) -> None:
    """hack/up makes python and python-data, which have the same root, side by side."""
    layer = tmp_path / "images" / f"base-python3-{'0' * 16}.tar"
    made: list[Path] = []
    together = threading.Barrier(CALLERS)

    def make(unfinished: Path) -> None:
        made.append(unfinished)
        unfinished.write_text("a layer")

    def ask(_: int) -> Path:
        together.wait(timeout=30)
        return build.once(layer, make)

    with ThreadPoolExecutor(max_workers=CALLERS) as pool:
        assert set(pool.map(ask, range(CALLERS))) == {layer}
    assert (len(made), layer.read_text()) == (1, "a layer")
    assert {path.name for path in layer.parent.iterdir()} == {layer.name, ".base-python3.lock"}


def test_of_what_was_made_before_the_newest_stay(tmp_path: Path) -> None:
    """And what belongs to another family with a longer name."""
    others = tmp_path / f"python-data-{'0' * 16}.tar"
    others.write_text("")
    for number in range(6):
        made = tmp_path / f"python-{number:016x}.tar"
        build.once(made, lambda unfinished: unfinished.write_text(""))
        os.utime(made, (number, number))
    assert sorted(path.name for path in tmp_path.glob("python-0*.tar")) == [
        f"python-{number:016x}.tar" for number in (2, 3, 4, 5)
    ]
    assert others.exists()
