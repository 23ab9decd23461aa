"""A layer of Python packages: wheels of a lock file with hashes, for the Python of an image.

pip chooses them for that Python whatever Python runs pip, and none is built here.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hack.cluster import archive, rootfs
from hack.cluster.config import ClusterError, Paths
from hack.cluster.console import run, step, still

# Where Debian's Python looks for modules that no package brought.
_MODULES = "usr/local/lib/{python}/dist-packages"
# pip takes each tag for itself alone; together these cover what wheels are made for today.
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def write_layer(lock: Path, base: Path, output: Path, paths: Paths) -> None:
    """Install the packages on top of the layer `base`, compile them, write what was added.

    Raises:
        ClusterError: there is no virtual environment, or a wheel cannot be had.
    """
    pip = paths.venv / "bin" / "python"
    if not pip.exists():
        raise ClusterError(f"{pip} is missing: run `make venv` first")
    with tempfile.TemporaryDirectory(prefix="soulbox-wheels-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        run(["tar", "-xf", base, "-C", root])
        python = rootfs.python_of(root)
        modules = _MODULES.format(python=python)
        step(f"downloading the packages of {lock.parent.name} (about 90 MB)")
        run([pip, "-m", "pip", *install_words(lock, python, root / modules)], timeout_seconds=900)
        prune(root / modules)
        with still(f"compiling the packages of {lock.parent.name}"):
            rootfs.compile_python(root, f"/{modules}")
        added = Path(folder) / "added"
        (added / modules).parent.mkdir(parents=True)
        (root / modules).rename(added / modules)
        archive.layer_from_folder(added, output)


def install_words(lock: Path, python: str, target: Path) -> list[str | Path]:
    """pip's arguments that install the lock's wheels for this Python and machine."""
    machine = _MACHINES[archive.architecture()]
    return [
        "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes",
        "--only-binary=:all:", "--implementation=cp",
        f"--python-version={python.removeprefix('python')}",
        *(f"--platform={platform}_{machine}" for platform in _PLATFORMS),
        "--target", target, "--requirement", lock,
    ]  # fmt: skip


def prune(modules: Path) -> None:
    """Remove the packages' own tests, a quarter of their size, and scripts for other roots."""
    for folder in sorted(modules.rglob("tests")):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(modules / "bin", ignore_errors=True)
