"""How long rows are kept."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long rows are kept. The ledger is not among them.

    Attributes:
        metrics_days: of resource_metrics.
        outputs_days: of execution_outputs.
        logs_days: of execution_logs.
        executions_months: of executions.
    """

    metrics_days: int = 30
    outputs_days: int = 30
    logs_days: int = 30
    executions_months: int = 13

    def by_table(self) -> Mapping[str, Mapping[str, int]]:
        """What is kept of each table: days and months, to be added."""
        return {
            "resource_metrics": {"days": self.metrics_days, "months": 0},
            "execution_outputs": {"days": self.outputs_days, "months": 0},
            "execution_logs": {"days": self.logs_days, "months": 0},
            "executions": {"days": 0, "months": self.executions_months},
        }
