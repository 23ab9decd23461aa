"""The operator's own layer: the package soulbox and what it needs, installed by pip."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hack.cluster import archive
from hack.cluster.config import CHECKOUT, ClusterError, Paths, content_hash
from hack.cluster.console import run, step

# Where Debian's Python, the one in the image, looks for modules that no package brought.
_MODULES = "usr/local/lib/{python}/dist-packages"


def key() -> str:
    """A hash of the package's sources and of the locked versions of what it needs."""
    folders = (CHECKOUT / "operator", CHECKOUT / "db")
    sources = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    code = [file for file in sources if "__pycache__" not in file.parts]
    others = ("manifests/install.yaml", "pyproject.toml", "requirements.lock")
    return content_hash([*code, *(CHECKOUT / name for name in others)])


def write_layer(output: Path, paths: Paths) -> None:
    """Install the package with its dependencies and write them as a layer.

    Raises:
        ClusterError: there is no virtual environment, or its Python is not the image's.
    """
    python = paths.venv / "bin" / "python"
    if not python.exists():
        raise ClusterError(f"{python} is missing: run `make venv` first")
    version = _image_python()
    found = run([python, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]).strip()
    if found != version:
        raise ClusterError(
            f"the operator's image gets {version} from this system's packages, but {paths.venv} "
            f"has {found}; make it with the same: make venv PYTHON=/usr/bin/{version}"
        )
    step("installing the operator's package for its image (about 20 s)")
    with tempfile.TemporaryDirectory(prefix="soulbox-operator-") as folder:
        root = Path(folder) / "root"
        modules = root / _MODULES.format(python=version)
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(_constraints())
        run(
            [python, "-m", "pip", "install", "--quiet", "--no-compile", "--target", modules,
             "--constraint", constraints, CHECKOUT],
            timeout_seconds=900,
        )  # fmt: skip
        run([python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
             "-s", root, "-p", "/", modules], timeout_seconds=600)  # fmt: skip
        archive.layer_from_folder(root, output)


def _constraints() -> str:
    """The lock without hashes, which pip does not take in constraints.

    As constraints it installs nothing by itself: the lock also pins development's tools.
    """
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()
    kept = (line.removesuffix(" \\") for line in lines if not line.strip().startswith("--hash="))
    return "\n".join(kept) + "\n"


def _image_python() -> str:
    """The name of Debian's present Python 3, such as python3.11."""
    found = re.search(r"Depends: (python3\.\d+)$", run(["apt-cache", "depends", "python3"]), re.M)
    if found is None:
        raise ClusterError("apt-cache knows no package python3; run apt-get update")
    return found[1]
