"""Our own containerd: the system's program with folders and a socket of its own.

A containerd that the system runs is never asked or touched. `end_containers` needs no running
containerd, so `down` works after a crash too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from hack.cluster import packages, processes
from hack.cluster.config import DATA_DIR, RUN_DIR, ClusterError, Paths, write_if_new
from hack.cluster.console import run, succeeds
from hack.cluster.network import CNI_CONFIG

ROOT = DATA_DIR / "containerd"
STATE = RUN_DIR / "containerd"
SOCKET = STATE / "containerd.sock"
PAUSE_IMAGE = "docker.io/soulbox/pause:dev"
# containerd's shims put their sockets here whatever the configuration says.
_SHIM_FOLDER = Path("/run/containerd")


def _config(cni_plugins: Path) -> str:
    return f"""\
version = 2
root = "{ROOT}"
state = "{STATE}"
# Negative OOM scores need CAP_SYS_RESOURCE, which containers and some VMs lack.
oom_score = 0
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE the kernel refuses a negative score and no pod would start.
  restrict_oom_score_adj = true
  # Else the pods' network namespaces would be mounted under /run/netns.
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{CNI_CONFIG}"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{RUN_DIR}/runc"
      SystemdCgroup = false
"""


def ensure(paths: Paths) -> processes.Record:
    """Start containerd and wait until it answers."""
    cni_plugins = packages.cni_plugins()
    if cni_plugins is None:
        raise ClusterError("the CNI plugins are gone; run hack/up again to install them")
    ROOT.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = DATA_DIR / "containerd.toml"
    text = _config(cni_plugins)
    write_if_new(config, text)
    record = processes.ensure(
        "containerd",
        [packages.find_program("containerd") or "containerd", "--config", config],
        log=paths.logs / "containerd.log",
        fingerprint=text,
    )
    processes.wait_until(
        "answer of containerd",
        lambda: SOCKET.exists() and succeeds(ctr("version")),
        seconds=30,
        needs=[record],
    )
    return record


def ctr(*words: str | Path) -> list[str | Path]:
    """A ctr command for our containerd in the kubelet's namespace."""
    program = packages.find_program("ctr") or "ctr"
    return [program, "--address", SOCKET, "--namespace", "k8s.io", *words]


def import_image(archive: Path) -> None:
    """Import a docker archive; layers that are there already are not unpacked again."""
    run(ctr("images", "import", archive), timeout_seconds=300)


def _cgroups() -> list[Path]:
    """The kubelet's cgroups (one per v1 hierarchy, or the one of v2), deepest first."""
    tops = [Path("/sys/fs/cgroup/kubepods"), *Path("/sys/fs/cgroup").glob("*/kubepods")]
    return [Path(folder) for top in tops for folder, _, _ in os.walk(top, topdown=False)]


def pods_of_another() -> bool:
    """Whether a kubelet that is not ours has containers on this machine."""
    return any(folder.parent.name == "kubepods" for folder in _cgroups())


def _kill(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _members() -> set[int]:
    pids: set[int] = set()
    for folder in _cgroups():
        with contextlib.suppress(OSError):
            pids.update(map(int, (folder / "cgroup.procs").read_text().split()))
    return pids


def _shims() -> set[int]:
    """Shim processes of our containerd, known by the socket in their command line."""
    pids = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and str(SOCKET).encode() in words:
                pids.add(int(folder.name))
    return pids


def end_containers() -> None:
    """Kill every container and shim, then remove their cgroups and sockets."""
    sockets = _shim_sockets()
    deadline = time.monotonic() + 15
    while pids := _members() | _shims():
        if time.monotonic() > deadline:
            raise ClusterError(f"processes of pods do not end on SIGKILL: {sorted(pids)}")
        _kill(pids)
        time.sleep(0.05)
    for folder in _cgroups():
        with contextlib.suppress(OSError):
            folder.rmdir()
    for socket in sockets:
        socket.unlink(missing_ok=True)
    for folder in (_SHIM_FOLDER / "s", _SHIM_FOLDER / "runc", _SHIM_FOLDER):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if empty: a system containerd has its files there


def _shim_sockets() -> list[Path]:
    sockets = []
    for file in STATE.glob("io.containerd.runtime.v2.task/*/*/address"):
        with contextlib.suppress(OSError):
            sockets.append(Path(file.read_text().strip().removeprefix("unix://")))
    return sockets


def unmount_all() -> None:
    """Unmount whatever is mounted below our folders, deepest first."""
    targets = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split()[4].encode().decode("unicode_escape")
        if target.startswith((f"{RUN_DIR}/", f"{DATA_DIR}/")):
            targets.append(target)
    for target in sorted(targets, reverse=True):
        if not succeeds(["umount", target]):
            run(["umount", "--lazy", target])


def remove_folders() -> None:
    """Delete the data of pods and images."""
    for folder in (ROOT, STATE):
        shutil.rmtree(folder, ignore_errors=True)
