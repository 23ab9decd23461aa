"""What to say of a pod whose network policy was not seen in force, and when to give it up."""

from dataclasses import dataclass
from typing import Final

from soulbox.model.states import PolicyFinding

# Plugins are late by a second or two; what lasts longer is told.
_QUIET_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unenforced:
    """A pod that starts no code: requireEnforcement, and the policy was not seen in force."""

    finding: PolicyFinding
    detail: str  # the runner's words, "" for none
    seconds: float  # since the first look
    limit_seconds: float  # then the pod is given up

    @property
    def is_over(self) -> bool:
        """Whether it is to be given up."""
        return self.seconds >= self.limit_seconds

    @property
    def is_news(self) -> bool:
        """Whether it lasts so long that a person should know."""
        return self.seconds >= _QUIET_SECONDS

    @property
    def look_again_seconds(self) -> float:
        """When what is to be done about it changes."""
        until = self.limit_seconds if self.is_news else min(_QUIET_SECONDS, self.limit_seconds)
        return max(0.1, until - self.seconds)

    @property
    def message(self) -> str:
        """What was seen and what to do, for the status."""
        match self.finding:
            case PolicyFinding.TRANSLATED:
                return (
                    "Whether its NetworkPolicy is enforced cannot be tried, because the operator's"
                    f" address is translated on the way to its pod ({self.detail}). Run the"
                    " operator as a pod of the cluster, or set network.requireEnforcement: false"
                    " in the SandboxClass."
                )
            case PolicyFinding.UNTRIED | PolicyFinding.BLOCKED | PolicyFinding.SEEN:
                words = f": {self.detail}" if self.detail else ""
                return f"Whether its NetworkPolicy is enforced could not be tried{words}."
            case PolicyFinding.CONNECTED:
                return (
                    "Its NetworkPolicy is not enforced: its pod could connect to the operator,"
                    " which the policy forbids. The cluster's network plugin enforces no policies"
                    " (soulbox doctor --probe-network tells), another NetworkPolicy of the"
                    " namespace allows more, or the network profile names the operator's address;"
                    " else set network.requireEnforcement: false in the SandboxClass."
                )
