"""The operator under measurement: a process of this machine, its memory and its CPU time."""

import compileall
import os
import re
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from soulbox.store.migrate import migrate
from tests.support.fix_kube import ROOT, Kubectl
from tests.support.fix_operator import OperatorProcess

_TICKS: int = os.sysconf("SC_CLK_TCK")
_METRIC = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


class MeasuredOperator(OperatorProcess):
    """`soulbox operator` without coverage, as it is installed."""

    command = (str(Path(sys.executable).parent / "soulbox"), "operator")

    def resident_bytes(self) -> int:
        """Memory in RAM (VmRSS: shared libraries count)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """CPU time used so far, of user and kernel."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def metrics(self) -> dict[tuple[str, str], float]:
        """Its metrics now, by name and labels."""
        return {
            (name, labels or ""): float(value)
            for name, labels, value in _METRIC.findall(self.get("/metrics"))
        }

    def terminate(self) -> float:
        """SIGTERM and the wait for its end, in seconds."""
        assert self._process is not None
        started = time.perf_counter()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)
        return time.perf_counter() - started


def make_operator(folder: Path) -> MeasuredOperator:
    """The operator, not started, with the rights of its ServiceAccount only."""
    dsn = os.environ["SOULBOX_DSN"]
    migrate(dsn)
    # As the image has it: else a checkout whose sources changed is compiled at each start.
    compileall.compile_dir(ROOT / "operator" / "soulbox", quiet=1)
    kubectl = Kubectl(shutil.which("kubectl") or "kubectl", os.environ["KUBECONFIG"])
    return MeasuredOperator(kubectl, dsn, folder)


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """CPU seconds since boot: of the whole machine, and of living processes by program.

    Launchers live on and tell what the programs they waited for have used.
    """

    busy: float
    programs: Mapping[str, float]

    def since(self, earlier: "CpuTimes", count: int) -> dict[str, float]:
        """Milliseconds for each of `count`, the largest first; what is of no living process
        (shims, other work of the machine) is called "rest"."""
        used = {
            name: seconds - earlier.programs.get(name, 0.0)
            for name, seconds in self.programs.items()
        }
        used["rest"] = self.busy - earlier.busy - sum(used.values())
        largest = sorted(used.items(), key=lambda item: -item[1])
        return {name: 1000 * seconds / count for name, seconds in largest}


def cpu_times() -> CpuTimes:
    """As of now."""
    used: defaultdict[str, float] = defaultdict(float)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = (process / "stat").read_text()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        user, kernel, waited_user, waited_kernel = map(int, stat.rpartition(")")[2].split()[11:15])
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        if command.startswith(b"soulbox-runner\0launch"):
            name = "launchers"
            used["programs in sandboxes"] += (waited_user + waited_kernel) / _TICKS
        elif b"soulbox\0" in command and b"operator" in command:
            name = "operator"
        elif command == Path("/proc/self/cmdline").read_bytes():
            name = "the bench itself"
        used[name] += (user + kernel) / _TICKS
    # user, nice, system, idle, iowait, irq, softirq, steal
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / _TICKS
    return CpuTimes(busy, used)
