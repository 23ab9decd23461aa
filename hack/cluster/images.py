"""The images of the trial cluster: pause, and the sandboxes with the runner in them.

An image is a root file system layer that changes rarely, kept in the cache, and a layer with
our own programs. An archive is imported again only when its key differs from the imported one.

`hack/images NAME...` makes images by hand, `operator` among them, and imports them if the local
cluster is up.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import archive, build, containerd, operator_image, processes, rootfs
from hack.cluster.archive import ImageConfig
from hack.cluster.build import Program
from hack.cluster.config import DATA_DIR, HACK, ClusterError, Paths, content_hash, paths
from hack.cluster.console import step

IMPORTED = DATA_DIR / "images"
RUNNER_PATH = "usr/local/bin/soulbox-runner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Our own layer of an image.

    Attributes:
        key: a hash of everything the layer is made of.
        write: writes the layer's tar file.
    """

    key: Callable[[], str]
    write: Callable[[Path, Paths], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image by its short name; `soulbox/<name>:dev` to Kubernetes.

    Attributes:
        base: the root file system below our layer; None for our layer alone.
    """

    name: str
    base: rootfs.Recipe | None
    layer: Layer
    config: ImageConfig

    @property
    def tag(self) -> str:
        return f"soulbox/{self.name}:dev"


def _program(program: Program, path: str) -> Layer:
    """A layer with one program in it."""

    def write(output: Path, folders: Paths) -> None:
        archive.layer_from_files({path: build.ensure(program, folders)}, output)

    return Layer(key=lambda: f"{program.key()} {path}", write=write)


_PYTHON = rootfs.Recipe(packages=("python3", "tzdata"), shell="busybox", busybox=True, python=True)
_BASH = rootfs.Recipe(
    packages=("bash", "coreutils", "diffutils", "findutils", "gawk", "grep", "gzip", "jq", "sed",
              "tar", "tzdata"),
    shell="bash",
    busybox=True,
)  # fmt: skip

PAUSE = Image(
    name="pause",
    base=None,
    layer=_program(build.PAUSE, "pause"),
    config=ImageConfig(entrypoint=("/pause",)),
)
PYTHON = Image(
    name="python",
    base=_PYTHON,
    layer=_program(build.RUNNER, RUNNER_PATH),
    config=ImageConfig(cmd=("python3",)),
)
BASH = Image(
    name="bash",
    base=_BASH,
    layer=_program(build.RUNNER, RUNNER_PATH),
    config=ImageConfig(cmd=("bash",)),
)
OPERATOR = Image(
    name="operator",
    base=_PYTHON,
    layer=Layer(key=operator_image.key, write=operator_image.write_layer),
    config=ImageConfig(
        entrypoint=("python3", "-m", "soulbox"),
        cmd=("run", "--operator"),
        env=(*archive.DEFAULT_ENV, "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"),
        user="65532:65532",
    ),
)
CLUSTER_IMAGES = (PAUSE, PYTHON, BASH)
ALL_IMAGES = {image.name: image for image in (*CLUSTER_IMAGES, OPERATOR)}

# Changes to how images are made make new ones.
_RECIPE_SOURCES = tuple(
    HACK / "cluster" / name for name in ("archive.py", "rootfs.py", "operator_image.py")
)


def _ensure_base(recipe: rootfs.Recipe, folders: Paths) -> Path:
    """The root file system's layer, which images with the same recipe share."""
    key = content_hash(_RECIPE_SOURCES[:2], *recipe.words(), archive.architecture())
    family = f"base-{recipe.packages[0]}"
    layer = folders.cache / "images" / f"{family}-{key}.tar"
    if not layer.exists():
        with tempfile.TemporaryDirectory(prefix="soulbox-rootfs-") as folder:
            root = Path(folder) / "root"
            root.mkdir()
            rootfs.build(recipe, root)
            unfinished = layer.with_suffix(".new")
            archive.layer_from_folder(root, unfinished)
            unfinished.rename(layer)
        build.drop_older(layer, f"{family}-*.tar")
    return layer


def ensure_archive(image: Image, folders: Paths) -> Path:
    """The image's docker archive in the cache, made now if its content is new."""
    base = image.base.words() if image.base else ()
    key = content_hash(
        _RECIPE_SOURCES, *base, image.layer.key(), repr(image.config), archive.architecture()
    )
    output = folders.cache / "images" / f"{image.name}-{key}.tar"
    if output.exists():
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    layers = [_ensure_base(image.base, folders)] if image.base else []
    with tempfile.TemporaryDirectory(prefix="soulbox-layer-") as folder:
        own = Path(folder) / "layer.tar"
        image.layer.write(own, folders)
        step(f"making image {image.tag}")
        archive.write_image(output, tag=image.tag, layers=[*layers, own], config=image.config)
    build.drop_older(output, f"{image.name}-*.tar")
    return output


def import_into_containerd(image: Image, archive_file: Path) -> None:
    """Give the node the image, unless it has this very one."""
    mark = IMPORTED / image.name
    if mark.exists() and mark.read_text() == archive_file.name:
        return
    containerd.import_image(archive_file)
    IMPORTED.mkdir(parents=True, exist_ok=True)
    mark.write_text(archive_file.name)


def main(arguments: list[str]) -> int:
    """Make images and print their archives; 0 if it worked, 1 with one clear line if not."""
    parser = argparse.ArgumentParser(prog="hack/images", description=main.__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(ALL_IMAGES), metavar="NAME",
                        help=", ".join(sorted(ALL_IMAGES)))  # fmt: skip
    try:
        for name in parser.parse_args(arguments).names:
            made = ensure_archive(ALL_IMAGES[name], paths())
            if processes.find("containerd") is not None:
                import_into_containerd(ALL_IMAGES[name], made)
            print(made)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
