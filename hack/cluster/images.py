"""The images of the trial cluster: pause, and the sandboxes with the runner in them.

An image is a root file system layer that changes rarely, kept in the cache, and a layer with
our own programs. An archive is imported again only when its key differs from the imported one.

`hack/images NAME...` makes images by hand, `operator` among them, and imports them if the local
cluster is up; `--import FILE` imports one that somebody else made.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import archive, build, containerd, operator_image, processes, rootfs, wheels
from hack.cluster.archive import ImageConfig
from hack.cluster.build import Program
from hack.cluster.config import (
    CHECKOUT,
    DATA_DIR,
    HACK,
    ClusterError,
    Paths,
    content_hash,
    paths,
)
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
        wheels: a lock file whose Python packages lie between the two; None for none.
    """

    name: str
    base: rootfs.Recipe | None
    layer: Layer
    config: ImageConfig
    wheels: Path | None = None

    @property
    def tag(self) -> str:
        return f"soulbox/{self.name}:dev"


def _program(program: Program, path: str) -> Layer:
    """A layer with one program in it."""

    def write(output: Path, folders: Paths) -> None:
        archive.layer_from_files({path: build.ensure(program, folders)}, output)

    return Layer(key=lambda: f"{program.key()} {path}", write=write)


_IMAGES = CHECKOUT / "images"
_PYTHON = rootfs.Recipe(
    # libstdc++: many wheels, NumPy's first, count on it.
    packages=("python3", "python3-pip", "python3-venv", "libstdc++6", "tzdata"),
    shell="busybox",
    busybox=True,
    python=True,
    files={"etc/pip.conf": _IMAGES / "python" / "pip.conf"},
)
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
PYTHON_DATA = Image(
    name="python-data",
    base=_PYTHON,
    wheels=_IMAGES / "python-data" / "requirements.lock",
    layer=_program(build.RUNNER, RUNNER_PATH),
    config=ImageConfig(cmd=("python3",)),
)
NODE = Image(
    name="node",
    base=rootfs.Recipe(
        packages=("nodejs", "ca-certificates", "tzdata"), shell="busybox", busybox=True
    ),
    layer=_program(build.RUNNER, RUNNER_PATH),
    config=ImageConfig(cmd=("node",)),
)
# The example of docs/own-image.md: any other language is made in the same way.
RUBY = Image(
    name="ruby",
    base=rootfs.Recipe(
        packages=("ruby", "ca-certificates", "tzdata"), shell="busybox", busybox=True
    ),
    layer=_program(build.RUNNER, RUNNER_PATH),
    config=ImageConfig(cmd=("ruby",)),
)
OPERATOR = Image(
    name="operator",
    base=rootfs.Recipe(packages=("python3", "tzdata"), shell="busybox", busybox=True, python=True),
    layer=Layer(key=operator_image.key, write=operator_image.write_layer),
    config=ImageConfig(
        entrypoint=("python3", "-m", "soulbox"),
        cmd=("run", "--operator"),
        env=(*archive.DEFAULT_ENV, "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"),
        user="65532:65532",
    ),
)
# Without these no pod and no first example runs; the classes' others may come a moment later.
CLUSTER_IMAGES = (PAUSE, PYTHON, BASH)
FURTHER_IMAGES = (PYTHON_DATA, NODE, RUBY)
ALL_IMAGES = {image.name: image for image in (*CLUSTER_IMAGES, *FURTHER_IMAGES, OPERATOR)}

# Changes to how images are made make new ones.
_RECIPE_SOURCES = tuple(
    HACK / "cluster" / name for name in ("archive.py", "rootfs.py", "operator_image.py")
)
_WHEEL_SOURCES = (*_RECIPE_SOURCES[:2], HACK / "cluster" / "wheels.py")


def _ensure_base(recipe: rootfs.Recipe, folders: Paths) -> Path:
    """The root file system's layer, which images with the same recipe share."""
    key = content_hash(_RECIPE_SOURCES[:2], *recipe.words(), archive.architecture())
    family = f"base-{recipe.packages[0]}"

    def make(unfinished: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="soulbox-rootfs-") as folder:
            root = Path(folder) / "root"
            root.mkdir()
            rootfs.build(recipe, root)
            archive.layer_from_folder(root, unfinished)

    return build.once(folders.cache / "images" / f"{family}-{key}.tar", make)


def _ensure_wheels(lock: Path, recipe: rootfs.Recipe, folders: Paths) -> Path:
    """The layer with the lock file's packages, for the Python of the recipe's root."""
    words = (*recipe.words(), archive.architecture())
    family = f"wheels-{lock.parent.name}"
    key = content_hash((*_WHEEL_SOURCES, lock), *words)

    def make(unfinished: Path) -> None:
        wheels.write_layer(lock, _ensure_base(recipe, folders), unfinished, folders)

    return build.once(folders.cache / "images" / f"{family}-{key}.tar", make)


def ensure_archive(image: Image, folders: Paths) -> Path:
    """The image's docker archive in the cache, made now if its content is new."""
    base = image.base.words() if image.base else ()
    sources = (*_WHEEL_SOURCES, image.wheels) if image.wheels else ()
    key = content_hash(
        {*_RECIPE_SOURCES, *sources},
        *base, image.layer.key(), repr(image.config), archive.architecture(),
    )  # fmt: skip

    def make(unfinished: Path) -> None:
        layers = [_ensure_base(image.base, folders)] if image.base else []
        if image.base and image.wheels:
            layers.append(_ensure_wheels(image.wheels, image.base, folders))
        with tempfile.TemporaryDirectory(prefix="soulbox-layer-") as folder:
            own = Path(folder) / "layer.tar"
            image.layer.write(own, folders)
            layers.append(own)
            archive.write_image(unfinished, tag=image.tag, layers=layers, config=image.config)
        step(f"made image {image.tag}: {unfinished.stat().st_size / 1e6:.0f} MB")

    return build.once(folders.cache / "images" / f"{image.name}-{key}.tar", make)


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
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(sorted(ALL_IMAGES)))
    parser.add_argument("--import", dest="archives", action="append", default=[], type=Path,
                        metavar="FILE", help="an archive of `docker save`")  # fmt: skip
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(ALL_IMAGES))
    if unknown or not (options.names or options.archives):
        wrong = f"unknown: {', '.join(unknown)}" if unknown else "no image is named"
        parser.error(f"{wrong}; known: {', '.join(sorted(ALL_IMAGES))}")
    try:
        node_is_up = processes.find("containerd") is not None
        for name in options.names:
            made = ensure_archive(ALL_IMAGES[name], paths())
            if node_is_up:
                import_into_containerd(ALL_IMAGES[name], made)
            print(made)
        if options.archives and not node_is_up:
            raise ClusterError(
                "the local node is not up, so nothing can be imported: hack/up first"
            )
        for file in options.archives:
            containerd.import_image(file)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
