"""Small Debian root file systems without a registry: packages downloaded and unpacked by apt.

Only the dependencies that programs need at run time are followed; dpkg's own world (debconf,
perl, dpkg) stays out, since no package script is run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import packages
from hack.cluster.config import ClusterError
from hack.cluster.console import run, step

# Reached through dependencies, used by package scripts or mail readers only.
_LEFT_OUT = frozenset({
    "debconf", "debconf-2.0", "cdebconf", "dpkg", "perl", "perl-base", "perl:any",
    "media-types", "mailcap", "mime-support", "install-info", "init-system-helpers",
    "libc-bin", "readline-common", "base-files", "lsb-base",
})  # fmt: skip
_PRUNED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian",
           "usr/share/info", "usr/share/bash-completion", "usr/share/applications",
           "usr/share/pixmaps", "usr/share/doc-base", "usr/share/menu",
           "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/gconv",
           "var/cache", "var/log", "etc/default", "etc/skel", "etc/cron.daily",
           "etc/systemd", "usr/lib/systemd", "usr/share/lintian", "usr/lib/tmpfiles.d")  # fmt: skip
# Debian puts each of these into /usr since bookworm; packages still ship some at the top.
_MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A root file system: packages with their dependencies, and what is done to them.

    Attributes:
        shell: what /bin/sh links to.
        busybox: whether busybox fills in for every common command that no package brought.
        python: whether Python's modules are compiled ahead: the pod's root is read-only, so
            each start would compile them anew (12 ms instead of about 80).
    """

    packages: tuple[str, ...]
    shell: str
    busybox: bool = False
    python: bool = False

    def words(self) -> tuple[str, ...]:
        return (*self.packages, self.shell, str(self.busybox), str(self.python))


def _dependencies(names: Sequence[str]) -> list[str]:
    listing = run(["apt-cache", "depends", "--important", "--recurse", *names])
    return closure(names, parse_depends(listing))


def closure(names: Sequence[str], depends: Mapping[str, Sequence[str]]) -> list[str]:
    """The packages and what they need at run time, sorted."""
    wanted: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        # gcc-N-base holds only documentation.
        if name in wanted or name in _LEFT_OUT or name.startswith("gcc-"):
            continue
        wanted.add(name)
        todo += depends.get(name, ())
    return sorted(wanted)


def parse_depends(listing: str) -> dict[str, list[str]]:
    """Package -> what it depends on, from `apt-cache depends --important --recurse`.

    Of alternatives the first is taken; a virtual package (`<name>`) is nobody's file.
    """
    depends: dict[str, list[str]] = {}
    package, alternative = "", False
    for line in listing.splitlines():
        if not line.startswith(" "):
            package = line.strip()
            depends[package] = []
            continue
        kind, _, other = line.strip().partition(": ")
        if kind.lstrip("|") in ("Depends", "PreDepends"):
            if not alternative and not other.startswith("<"):
                depends[package].append(other)
            alternative = kind.startswith("|")
    return depends


def build(recipe: Recipe, output: Path) -> None:
    """Fill the folder `output`, which must be empty, with the root file system.

    Raises:
        ClusterError: this is no Debian-like system with root rights, or a download failed.
    """
    for program in ("apt-get", "apt-cache", "dpkg"):
        if shutil.which(program) is None:
            raise ClusterError(
                f"{program} is not there: the sandbox images are made of Debian packages. Use a "
                "Debian-like system, or a Docker engine with kind"
            )
    if not _known(recipe.packages):
        packages.update_lists()
    wanted = _dependencies([*recipe.packages, *(["busybox-static"] if recipe.busybox else [])])
    step(f"downloading {len(wanted)} Debian packages (a few seconds)")
    with tempfile.TemporaryDirectory(prefix="soulbox-deb-") as folder:
        os.chmod(folder, 0o777)  # apt downloads as its own user
        try:
            run(["apt-get", "download", *wanted], cwd=Path(folder), timeout_seconds=300)
        except ClusterError:
            # The lists are older than the mirror: refresh them and try again.
            packages.update_lists()
            run(["apt-get", "download", *wanted], cwd=Path(folder), timeout_seconds=300)
        for package in sorted(Path(folder).glob("*.deb")):
            run(["dpkg", "-x", package, output])
    merge_usr(output)
    for path in _PRUNED:
        shutil.rmtree(output / path, ignore_errors=True)
    _complete(output, recipe)


def _known(names: Sequence[str]) -> bool:
    return all("Candidate: (none)" not in said and said.strip() for said in
               (run(["apt-cache", "policy", name]) for name in names))  # fmt: skip


def merge_usr(root: Path) -> None:
    """Move the top folders into /usr and link them, as every Debian since bookworm has them."""
    for name in _MERGED:
        source, target = root / name, root / "usr" / name
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(source)
        if target.is_dir() and not source.is_symlink():
            source.symlink_to(f"usr/{name}")


def _complete(root: Path, recipe: Recipe) -> None:
    """What package scripts would have done: links, accounts, library cache, compiled modules."""
    binaries = root / "usr/bin"
    if recipe.busybox:
        for applet in run([binaries / "busybox", "--list"]).split():
            if not any((folder / applet).exists() for folder in (binaries, root / "usr/sbin")):
                (binaries / applet).symlink_to("busybox")
    (binaries / "sh").unlink(missing_ok=True)
    (binaries / "sh").symlink_to(recipe.shell)
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("proc", 0o555), ("sys", 0o555),
                       ("dev", 0o755), ("run", 0o755), ("root", 0o700)):  # fmt: skip
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    (root / "etc").mkdir(exist_ok=True)
    accounts = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n"
    (root / "etc/passwd").write_text(accounts)
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    run([packages.find_program("ldconfig") or "ldconfig", "-r", root])
    if recipe.python:
        python = next(
            file for file in sorted(binaries.glob("python3.*")) if file.name[8:].isdigit()
        )
        if not (binaries / "python3").exists():
            (binaries / "python3").symlink_to(python.name)
        (binaries / "python").unlink(missing_ok=True)
        (binaries / "python").symlink_to("python3")
        step("compiling the image's Python modules (about 10 s)")
        run(
            [packages.find_program("chroot") or "chroot", root, f"/usr/bin/{python.name}",
             "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
             f"/usr/lib/{python.name}"],
            timeout_seconds=600,
        )  # fmt: skip
