"""Bringing up the local node, as far as it goes without one."""

from __future__ import annotations

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
