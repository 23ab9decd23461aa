"""Bringing up the local node, as far as it goes without one."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

import pytest

from hack.cluster import images, local
from hack.cluster.config import ClusterError, Paths


def test_an_image_that_cannot_be_made_keeps_no_cluster_from_coming_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def ensure_archive(image: images.Image, folders: Paths) -> Path:
        if image is images.PYTHON_DATA:
            raise ClusterError("no wheel of numpy for Python 3.10")
        return folders.cache / image.name

    monkeypatch.setattr(images, "ensure_archive", ensure_archive)
    folders = Paths(state=tmp_path / "state", cache=tmp_path / "cache")

    made = local.further_archives(folders, (images.PYTHON_DATA, images.NODE))

    assert made == [(images.NODE, folders.cache / "node")]
    assert "soulbox/python-data:dev, which cannot be made here: no wheel" in capsys.readouterr().err


def test_without_the_virtual_environment_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ClusterError, match="run `make venv` first"):
        local.check_machine()
