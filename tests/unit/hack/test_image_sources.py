"""The sandbox images as Dockerfiles and as recipes of the trial's builder: one set of images."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
import yaml

from hack.cluster import images, wheels
from hack.cluster.config import CHECKOUT

DOCKERFILES = sorted((CHECKOUT / "images").glob("*/Dockerfile"))
CLASSES = yaml.safe_load((CHECKOUT / "manifests/chart/values.yaml").read_text())["classes"]


def copied(dockerfile: Path) -> list[str]:
    """What a Dockerfile takes of its context."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text())
    lines = re.findall(r"(?m)^COPY +(?!--from)(.*)$", text)
    return [word for line in lines for word in line.split()[:-1]]


def let_through(ignore: Path, path: str) -> bool:
    """Whether a .dockerignore lets a path into the context: the last line that fits counts."""
    passes = True
    for line in ignore.read_text().split("\n"):
        pattern = line.strip().removeprefix("!").removeprefix("**/")
        if not pattern or pattern.startswith("#"):
            continue
        parents = [path, *(str(parent) for parent in Path(path).parents)]
        if any(fnmatch.fnmatch(name, pattern) for name in parents):
            passes = line.startswith("!")
    return passes


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.parent.name)
def test_context_has_what_a_dockerfile_copies_and_no_secrets(dockerfile: Path) -> None:
    own = dockerfile.with_name("Dockerfile.dockerignore")
    ignored = [CHECKOUT / ".dockerignore", *([own] if own.exists() else [])]
    for ignore in ignored:
        for source in copied(dockerfile):
            assert (CHECKOUT / source).exists(), source
            assert let_through(ignore, source.rstrip("/") or "."), (ignore, source)
        for secret in (".local/env", ".local/kubeconfig", ".venv/bin/python", ".git/config"):
            assert not let_through(ignore, secret), (ignore, secret)


def test_a_dockerfile_without_files_of_the_checkout_needs_no_list() -> None:
    for dockerfile in DOCKERFILES:
        has_list = dockerfile.with_name("Dockerfile.dockerignore").exists()
        assert has_list == bool(copied(dockerfile)), dockerfile


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_of_the_install_has_its_image_made_both_ways(name: str) -> None:
    image = CLASSES[name]["image"].removeprefix("soulbox/").removesuffix(":dev")
    assert (CHECKOUT / "images" / image / "Dockerfile").exists()
    assert images.ALL_IMAGES[image].tag == CLASSES[name]["image"]


def test_recipe_changes_with_its_settings_file(tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\n")
    recipe = images.rootfs.Recipe(packages=("a",), shell="sh", files={"etc/pip.conf": settings})
    before = recipe.words()
    settings.write_text("[global]\nretries = 1\n")
    assert recipe.words() != before


LOCK = CHECKOUT / "images/python-data/requirements.lock"


def test_lock_has_all_that_is_asked_for_each_by_hash() -> None:
    lock = re.sub(r" \\\n", " ", LOCK.read_text())
    pinned = dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+.*)$", lock))
    asked = LOCK.with_suffix(".in").read_text().split("\n")
    assert {line for line in asked if line and not line.startswith("#")} <= set(pinned)
    assert all("--hash=sha256:" in rest for rest in pinned.values())


def test_wheels_are_chosen_for_the_image_s_python_and_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wheels.archive, "architecture", lambda: "arm64")
    words = wheels.install_words(LOCK, "python3.11", Path("/root"))
    assert "--python-version=3.11" in words
    assert "--platform=manylinux_2_28_aarch64" in words
    assert "--require-hashes" in words, "nothing but what the lock pins"
    assert "--only-binary=:all:" in words, "no build script runs here"


def test_prune_takes_tests_at_any_depth_and_leaves_modules(tmp_path: Path) -> None:
    for name in ("scipy/linalg/tests/test_a.py", "tests/b.py", "numpy/testing/c.py", "bin/f2py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    wheels.prune(tmp_path)
    left = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    assert left == ["numpy/testing/c.py"]
