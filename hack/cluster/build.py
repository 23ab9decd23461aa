"""Go programs, built from pinned sources once and kept in the cache under their content hash."""

from __future__ import annotations

import fcntl
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import packages
from hack.cluster.config import CHECKOUT, HACK, KUBERNETES_VERSION, Paths, content_hash
from hack.cluster.console import run, step, still

KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kube-network-policies",
    "kubectl",
)


_HASH = "[0-9a-f]" * 16  # of a file's name: python's are not python-data's


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One Go main package.

    Attributes:
        module: the folder with go.mod.
        package: the main package inside it.
        values: variables set by the linker (`-X`).
        stamped: whether the linker sets `main.version` to the project's version and the hash.
        how_long: what to tell the person who waits for a cold build.
    """

    name: str
    module: Path
    package: str = "."
    values: tuple[str, ...] = ()
    stamped: bool = False
    how_long: str = "under a minute"

    def sources(self) -> list[Path]:
        """What the program is made of, besides the modules that go.sum pins."""
        kinds = (".go", ".mod", ".sum")
        return [
            file
            for file in self.module.rglob("*")
            if file.suffix in kinds and not file.name.endswith("_test.go")
        ]

    def key(self) -> str:
        version = project_version() if self.stamped else ""
        return content_hash(self.sources(), self.package, version, *self.values)

    def linker_flags(self) -> str:
        values = list(self.values)
        if self.stamped:
            values.append(f"main.version={project_version()}+{self.key()[:8]}")
        return " ".join(["-s", "-w", *(f"-X {value}" for value in values)])


def project_version() -> str:
    """The version in pyproject.toml."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    return str(project["project"]["version"])


_VERSION = "k8s.io/component-base/version"
KUBERNETES = Program(
    name="k8s",
    module=HACK / "k8s",
    values=(
        f"{_VERSION}.gitVersion=v{KUBERNETES_VERSION}",
        f"{_VERSION}.gitMajor={KUBERNETES_VERSION.split('.')[0]}",
        f"{_VERSION}.gitMinor={KUBERNETES_VERSION.split('.')[1]}",
    ),
    how_long="5 to 8 minutes on 2 cores, once",
)
ETCD = Program(name="etcd", module=HACK / "etcd", how_long="about half a minute, once")
PAUSE = Program(name="pause", module=HACK / "pause", how_long="a few seconds")
RUNNER = Program(
    name="soulbox-runner",
    module=CHECKOUT / "runner",
    package="./cmd/soulbox-runner",
    stamped=True,
)


_GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",  # static, so that it runs in any image
    "GOFLAGS": "-buildvcs=false -mod=readonly",
    "GOTOOLCHAIN": "auto",  # Debian's Go is built with `local`
}


def ensure(program: Program, paths: Paths) -> Path:
    """The built program's path; built now if its sources are new to the cache."""
    output = paths.cache / "bin" / f"{program.name}-{program.key()}"
    # Several images hold the runner and are made at the same time: one of them builds it.
    return once(output, lambda unfinished: _build(program, unfinished))


def _build(program: Program, unfinished: Path) -> None:
    go = packages.ensure_go()
    step(f"building {program.name} with Go ({program.how_long})")
    with still(f"building {program.name}"):
        run(
            [
                go,
                "build",
                "-trimpath",
                "-ldflags",
                program.linker_flags(),
                "-o",
                unfinished,
                program.package,
            ],
            env={**os.environ, **_GO_ENVIRONMENT},
            cwd=program.module,
            timeout_seconds=3600,
        )


def once(output: Path, make: Callable[[Path], object]) -> Path:
    """The file, made now unless it is there: by one of all the threads and processes that want
    it at the same time, and never seen half made. Of what came before it the newest few stay.

    Args:
        output: its name ends in a hash of all that it is made from.
        make: writes the file that it is handed.
    """
    if output.exists():
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    family = output.stem.rpartition("-")[0]
    with (output.parent / f".{family}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            unfinished = output.with_name(f".{output.name}.new")
            make(unfinished)
            unfinished.rename(output)
            _drop_older(output, f"{family}-{_HASH}{output.suffix}")
    return output


def _drop_older(newest: Path, pattern: str, keep: int = 4) -> None:
    """Remove all but the newest few of a kind; checkouts of neighbouring commits alternate."""
    made = sorted(newest.parent.glob(pattern), key=lambda file: file.stat().st_mtime)
    for file in made[:-keep]:
        file.unlink(missing_ok=True)


def kubernetes_programs(paths: Paths) -> Path:
    """A folder with a link per Kubernetes program, and etcd."""
    k8s = ensure(KUBERNETES, paths)
    etcd = ensure(ETCD, paths)
    folder = paths.cache / "bin" / f"links-{k8s.name}"
    folder.mkdir(parents=True, exist_ok=True)
    links = dict.fromkeys(KUBERNETES_PROGRAMS, k8s) | {"etcd": etcd}
    for name, target in links.items():
        link = folder / name
        if not link.exists() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return folder


def kubectl(paths: Paths) -> Path | None:
    """The kubectl that belongs to the built control plane; None if it was not built."""
    program = paths.cache / "bin" / f"links-{KUBERNETES.name}-{KUBERNETES.key()}" / "kubectl"
    return program if program.exists() else None
