"""Small Debian root file systems without a registry: packages downloaded and unpacked by apt.

Only the dependencies that programs need at run time are followed; dpkg's own world (debconf,
perl, dpkg) stays out, since no package script is run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster import packages
from hack.cluster.config import ClusterError, content_hash
from hack.cluster.console import run, step

# Packages come from the lists alone, as on any machine with the same sources: what is installed
# here may come from a source that is gone and cannot be downloaded again.
_FROM_LISTS = ("-o", "Dir::State::status=/dev/null")
# Reached through dependencies, used by package scripts or mail readers only; not left out where
# a recipe names one.
_LEFT_OUT = frozenset({
    "debconf", "debconf-2.0", "cdebconf", "dpkg", "perl", "perl-base", "perl:any",
    "media-types", "mailcap", "mime-support", "install-info", "init-system-helpers",
    "libc-bin", "readline-common", "base-files", "lsb-base",
})  # fmt: skip
# The C.UTF-8 that programs get in LANG; the rest of libc-bin is for package scripts.
_LOCALE_PACKAGE, _LOCALE = "libc-bin", "./usr/lib/locale"
_PRUNED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian",
           "usr/share/info", "usr/share/bash-completion", "usr/share/applications",
           "usr/share/pixmaps", "usr/share/doc-base", "usr/share/menu",
           "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/gconv",
           "var/cache", "var/log", "etc/default", "etc/skel", "etc/cron.daily",
           "etc/systemd", "usr/lib/systemd", "usr/share/lintian", "usr/lib/tmpfiles.d")  # fmt: skip
# Debian puts each of these into /usr since bookworm; packages still ship some at the top.
_MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")


# Packages are unpacked, not installed: names that their scripts would have linked.
_ALTERNATIVES = {"awk": "gawk"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A root file system: packages with their dependencies, and what is done to them.

    Attributes:
        shell: what /bin/sh links to.
        busybox: whether busybox fills in for every common command that no package brought.
        python: whether Python's modules are compiled ahead: the pod's root is read-only, so
            each start would compile them anew (12 ms instead of about 80).
        files: path in the image -> file here, for settings.
    """

    packages: tuple[str, ...]
    shell: str
    busybox: bool = False
    python: bool = False
    files: Mapping[str, Path] = field(default_factory=dict)

    def words(self) -> tuple[str, ...]:
        files = (f"{path}={content_hash([file])}" for path, file in sorted(self.files.items()))
        return (*self.packages, self.shell, str(self.busybox), str(self.python), *files)


def _dependencies(names: Sequence[str]) -> list[str]:
    listing = run(["apt-cache", *_FROM_LISTS, "depends", "--important", "--recurse", *names])
    return closure(names, parse_depends(listing))


def closure(names: Sequence[str], depends: Mapping[str, Sequence[str]]) -> list[str]:
    """The packages and what they need at run time, sorted."""
    wanted: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        left_out = name in _LEFT_OUT and name not in names
        # gcc-N-base holds only documentation.
        if name in wanted or left_out or name.startswith("gcc-"):
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
        command = ["apt-get", *_FROM_LISTS, "download", *sorted({*wanted, _LOCALE_PACKAGE})]
        try:
            run(command, cwd=Path(folder), timeout_seconds=300)
        except ClusterError:
            # The lists are older than the mirror: refresh them and try again.
            packages.update_lists()
            run(command, cwd=Path(folder), timeout_seconds=300)
        for package in sorted(Path(folder).glob("*.deb")):
            if package.name.startswith(f"{_LOCALE_PACKAGE}_") and _LOCALE_PACKAGE not in wanted:
                _unpack_locale(package, output)
            else:
                run(["dpkg", "-x", package, output])
    merge_usr(output)
    for path in _PRUNED:
        shutil.rmtree(output / path, ignore_errors=True)
    _complete(output, recipe)


def _known(names: Sequence[str]) -> bool:
    return all("Candidate: (none)" not in said and said.strip() for said in
               (run(["apt-cache", *_FROM_LISTS, "policy", name]) for name in names))  # fmt: skip


def _unpack_locale(package: Path, output: Path) -> None:
    """Only the locale C.UTF-8: without its files setlocale fails and bytes count as letters."""
    content = package.with_suffix(".tar")
    with content.open("wb") as file:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=file, check=True)
    run(["tar", "-xf", content, "-C", output, _LOCALE])


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
    """What package scripts would have done: links, accounts, certificates, compiled modules."""
    binaries = root / "usr/bin"
    for name, program in _ALTERNATIVES.items():
        if (binaries / program).exists() and not (binaries / name).exists():
            (binaries / name).symlink_to(program)
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
    trusted = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    if trusted:
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_text("".join(file.read_text() for file in trusted))
    for name, file in recipe.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, root / name)
    run([packages.find_program("ldconfig") or "ldconfig", "-r", root])
    if recipe.python:
        python = python_of(root)
        if not (binaries / "python3").exists():
            (binaries / "python3").symlink_to(python)
        (binaries / "python").unlink(missing_ok=True)
        (binaries / "python").symlink_to("python3")
        # Debian's mark against pip beside apt: nobody runs apt in a sandbox.
        (root / "usr/lib" / python / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
        step("compiling the image's Python modules (about 10 s)")
        compile_python(root, f"/usr/lib/{python}", "/usr/lib/python3/dist-packages")


def python_of(root: Path) -> str:
    """The name of a root file system's Python, such as python3.11."""
    found = sorted((root / "usr/bin").glob("python3.*"))
    return next(file.name for file in found if file.name[8:].isdigit())


def compile_python(root: Path, *folders: str) -> None:
    """Compile the modules in these folders of the root with its own Python."""
    run(
        [packages.find_program("chroot") or "chroot", root, f"/usr/bin/{python_of(root)}",
         "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *folders],
        timeout_seconds=600,
    )  # fmt: skip
