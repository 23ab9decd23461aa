"""Docker archives: what an engine reads is there, and the same content gives the same bytes."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from hack.cluster import archive
from hack.cluster.archive import ImageConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_text("#!/bin/sh\n")
    (root / "usr/bin/tool").chmod(0o755)
    (root / "bin").symlink_to("usr/bin")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


def test_layer_keeps_modes_and_links_and_is_owned_by_root(folder: Path, tmp_path: Path) -> None:
    archive.layer_from_folder(folder, tmp_path / "layer.tar")

    with tarfile.open(tmp_path / "layer.tar") as layer:
        members = {member.name: member for member in layer}
    assert members["usr/bin/tool"].mode == 0o755
    assert members["tmp"].mode == 0o1777
    assert members["bin"].linkname == "usr/bin"
    assert {(m.uid, m.gid, m.uname) for m in members.values()} == {(0, 0, "")}


def test_same_content_made_at_another_time_gives_the_same_bytes(
    folder: Path, tmp_path: Path
) -> None:
    archive.layer_from_folder(folder, tmp_path / "one.tar")
    (folder / "usr/bin/tool").touch()
    archive.layer_from_folder(folder, tmp_path / "two.tar")

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_programs_are_executable_and_their_folders_can_be_entered(tmp_path: Path) -> None:
    program = tmp_path / "built"
    program.write_bytes(b"\x7fELF")
    archive.layer_from_files({"usr/local/bin/runner": program}, tmp_path / "layer.tar")

    with tarfile.open(tmp_path / "layer.tar") as layer:
        modes = {member.name: member.mode for member in layer}
    assert modes == {
        "usr": 0o755,
        "usr/local": 0o755,
        "usr/local/bin": 0o755,
        "usr/local/bin/runner": 0o755,
    }


def test_image_names_each_layer_by_its_digest_lowest_first(tmp_path: Path) -> None:
    layers = [tmp_path / "low.tar", tmp_path / "high.tar"]
    for layer in layers:
        archive.layer_from_files({layer.stem: Path(__file__)}, layer)
    config = ImageConfig(cmd=("python3",), user="65532:65532")

    archive.write_image(tmp_path / "image.tar", tag="soulbox/x:dev", layers=layers, config=config)

    with tarfile.open(tmp_path / "image.tar") as image:
        contents = {m.name: f.read() for m in image if (f := image.extractfile(m)) is not None}
    (manifest,) = json.loads(contents["manifest.json"])
    want_digests = [hashlib.sha256(layer.read_bytes()).hexdigest() for layer in layers]
    assert manifest["RepoTags"] == ["soulbox/x:dev"]
    assert manifest["Layers"] == [f"{digest}/layer.tar" for digest in want_digests]
    assert [hashlib.sha256(contents[name]).hexdigest() for name in manifest["Layers"]] == (
        want_digests
    )
    body = contents[manifest["Config"]]
    assert manifest["Config"] == hashlib.sha256(body).hexdigest() + ".json"
    described = json.loads(body)
    assert described["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in want_digests]
    assert described["config"]["Cmd"] == ["python3"]
    assert described["config"]["User"] == "65532:65532"
    assert described["config"]["Entrypoint"] is None
