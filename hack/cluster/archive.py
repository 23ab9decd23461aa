"""Docker archives (docker save's format) with Python's tarfile: no engine, no registry.

Everything is deterministic: same content, same bytes, so a layer's digest can be its name.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.config import ClusterError

# Any fixed moment makes archives reproducible; this one is 2024-01-01T00:00:00Z.
_MOMENT_SECONDS = 1704067200
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
DEFAULT_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image says about how to run it, in Docker's words."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = DEFAULT_ENV
    working_dir: str = "/"
    user: str = ""
    labels: Mapping[str, str] | None = None


def architecture() -> str:
    """The machine's architecture in Docker's words.

    Raises:
        ClusterError: one that Kubernetes' images do not name.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise ClusterError(f"unknown architecture {machine}; known: {', '.join(_ARCHITECTURES)}")
    return _ARCHITECTURES[machine]


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Strip what differs between two builds of the same content."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = _MOMENT_SECONDS
    return member


def layer_from_folder(folder: Path, output: Path) -> None:
    """Write a layer with the folder's content, sorted, owned by root."""
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as layer:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            layer.add(path, arcname=name, recursive=False, filter=_plain)


def layer_from_files(files: Mapping[str, Path], output: Path) -> None:
    """Write a layer of executables: path in the image -> file here."""
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as layer:
        folders = {str(parent) for name in files for parent in Path(name).parents}
        for folder in sorted(folders - {".", "/"}):
            member = _plain(tarfile.TarInfo(folder))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(member)
        for name, file in sorted(files.items()):
            member = _plain(tarfile.TarInfo(name))
            member.size, member.mode = file.stat().st_size, 0o755
            with file.open("rb") as content:
                layer.addfile(member, content)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_image(
    output: Path,
    *,
    tag: str,
    layers: Sequence[Path],
    config: ImageConfig,
) -> None:
    """Put uncompressed layers, lowest first, together as one image under one tag."""
    digests = [_digest(layer) for layer in layers]
    described = {
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": list(config.entrypoint) or None,
            "Cmd": list(config.cmd) or None,
            "Env": list(config.env),
            "WorkingDir": config.working_dir,
            "User": config.user,
            "Labels": dict(config.labels or {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created_by": "hack/images"} for _ in layers],
    }
    body = json.dumps(described, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(body).hexdigest()}.json"
    manifest = [
        {
            "Config": config_name,
            "RepoTags": [tag],
            "Layers": [f"{digest}/layer.tar" for digest in digests],
        }
    ]
    with tarfile.open(output, "w") as archive:
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())
        _add_bytes(archive, config_name, body)
        for digest, layer in zip(digests, layers, strict=True):
            archive.add(layer, arcname=f"{digest}/layer.tar", filter=_plain)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = _plain(tarfile.TarInfo(name))
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
