"""The images of the trial cluster: pause, and the sandboxes with the runner in them.

An image is a root file system layer that changes rarely, kept in the cache, and a layer with
our own programs. An archive is imported again only when its key differs from the imported one.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import archive, build, containerd, rootfs
from hack.cluster.archive import ImageConfig
from hack.cluster.build import Program
from hack.cluster.config import DATA_DIR, HACK, ClusterError, Paths, content_hash
from hack.cluster.console import step

IMPORTED = DATA_DIR / "images"
RUNNER_PATH = "usr/local/bin/soulbox-runner"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image by its short name; `soulbox/<name>:dev` to Kubernetes.

    Attributes:
        base: the root file system below our program; None for a program alone.
        program: what is put in, at `path`.
    """

    name: str
    base: rootfs.Recipe | None
    program: Program
    path: str
    config: ImageConfig

    @property
    def tag(self) -> str:
        return f"soulbox/{self.name}:dev"


PAUSE = Image(
    name="pause",
    base=None,
    program=build.PAUSE,
    path="pause",
    config=ImageConfig(entrypoint=("/pause",)),
)
PYTHON = Image(
    name="python",
    base=rootfs.Recipe(
        packages=("python3", "tzdata"),
        shell="busybox",
        busybox=True,
        python=True,
    ),
    program=build.RUNNER,
    path=RUNNER_PATH,
    config=ImageConfig(cmd=("python3",)),
)
BASH = Image(
    name="bash",
    base=rootfs.Recipe(
        packages=("bash", "coreutils", "diffutils", "findutils", "gawk", "grep", "gzip", "jq",
                  "sed", "tar", "tzdata"),
        shell="bash",
        busybox=True,
    ),
    program=build.RUNNER,
    path=RUNNER_PATH,
    config=ImageConfig(cmd=("bash",)),
)  # fmt: skip
CLUSTER_IMAGES = (PAUSE, PYTHON, BASH)

# Changes to how images are made make new ones.
_RECIPE_SOURCES = tuple(HACK / "cluster" / name for name in ("archive.py", "rootfs.py"))


def architecture() -> str:
    """The machine's architecture in Docker's words.

    Raises:
        ClusterError: one that Kubernetes' images do not name.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise ClusterError(f"unknown architecture {machine}; known: {', '.join(_ARCHITECTURES)}")
    return _ARCHITECTURES[machine]


def _base_key(recipe: rootfs.Recipe) -> str:
    return content_hash(_RECIPE_SOURCES, *recipe.words(), architecture())


def _ensure_base(image: Image, paths: Paths) -> list[Path]:
    """The layer below our program, as a list of one; of none for a program alone."""
    if image.base is None:
        return []
    layer = paths.cache / "images" / f"base-{image.name}-{_base_key(image.base)}.tar"
    if not layer.exists():
        with tempfile.TemporaryDirectory(prefix="soulbox-rootfs-") as folder:
            root = Path(folder) / "root"
            root.mkdir()
            rootfs.build(image.base, root)
            unfinished = layer.with_suffix(".new")
            archive.layer_from_folder(root, unfinished)
            unfinished.rename(layer)
        build.drop_older(layer, f"base-{image.name}-*.tar")
    return [layer]


def ensure_archive(image: Image, paths: Paths) -> Path:
    """The image's docker archive in the cache, made now if its content is new."""
    try:
        program = build.ensure(image.program, paths)
    except ClusterError as error:  # TODO until the runner builds
        step(f"image {image.tag} WITHOUT {image.program.name}: {str(error)[-200:]}")
        program = build.ensure(build.PAUSE, paths)
    base = _base_key(image.base) if image.base else ""
    key = content_hash(_RECIPE_SOURCES, base, program.name, image.path, repr(image.config))
    output = paths.cache / "images" / f"{image.name}-{key}.tar"
    if output.exists():
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    layers = _ensure_base(image, paths)
    step(f"making image {image.tag}")
    with tempfile.TemporaryDirectory(prefix="soulbox-layer-") as folder:
        own = Path(folder) / "layer.tar"
        archive.layer_from_files({image.path: program}, own)
        archive.write_image(
            output,
            tag=image.tag,
            layers=[*layers, own],
            config=image.config,
            architecture=architecture(),
        )
    build.drop_older(output, f"{image.name}-*.tar")
    return output


def is_imported(image: Image, archive_file: Path) -> bool:
    mark = IMPORTED / image.name
    return mark.exists() and mark.read_text() == archive_file.name


def import_into_containerd(image: Image, archive_file: Path) -> None:
    """Give the node the image, unless it has this very one."""
    if is_imported(image, archive_file):
        return
    containerd.import_image(archive_file)
    IMPORTED.mkdir(parents=True, exist_ok=True)
    (IMPORTED / image.name).write_text(archive_file.name)
