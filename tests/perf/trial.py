"""What every section of the bench works with."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from soulbox.kube.resources import SANDBOXES
from tests.perf.cluster import Cluster, is_ready, sandbox
from tests.perf.figures import Report
from tests.perf.operator_process import MeasuredOperator


@dataclass(slots=True, kw_only=True)
class Trial:
    """One run of the bench.

    Attributes:
        quick: few tries, to see that it works; the figures are not to be quoted.
    """

    cluster: Cluster
    operator: MeasuredOperator
    report: Report
    quick: bool

    def tries(self, full: int) -> int:
        """How often: all, or a tenth (at least three)."""
        return max(3, full // 10) if self.quick else full

    def restart_operator(self) -> None:
        """A fresh process, so that no section measures what an earlier one left."""
        if self.operator.runs:
            self.operator.terminate()
        self.operator.start()

    async def sandboxes(self, names: Sequence[str]) -> None:
        """Sandboxes of the bench's class, each with its runner warm."""
        async with self.cluster.watch(SANDBOXES) as watch:
            await asyncio.gather(
                *(self.cluster.timed(watch, SANDBOXES, sandbox(name), is_ready) for name in names)
            )
