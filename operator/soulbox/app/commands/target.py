"""Which cluster and namespace a person's call works with."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which cluster and namespace; None takes what the kubeconfig says."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    as_user: str | None = None  # None: the user that the kubeconfig impersonates, if any
    as_groups: tuple[str, ...] = ()
    operator_namespace: str = "soulbox-system"
    operator_url: str | None = None  # None: through the API server
