"""The runner's container as a pod's status has it, read once, for the status and for the ledger."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from soulbox.model.keys import RUNNER_CONTAINER
from soulbox.model.times import if_real

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerContainer:
    """What the kubelet says of it.

    Attributes:
        status: its member of containerStatuses; empty where there is none.
        running, terminated: its present state; both None: it waits, or nothing is said.
        end: how it ended, if it is not running: the last state counts where the present one says
            nothing, for a kubelet that could not find the container reports the end there.
        started_at, finished_at: of the running container, else of its end.
    """

    status: Mapping[str, Any]
    running: Mapping[str, Any] | None
    terminated: Mapping[str, Any] | None
    end: Mapping[str, Any] | None
    started_at: datetime | None
    finished_at: datetime | None


def runner_container(
    pod_status: Mapping[str, Any], parse: Callable[[Any, str], datetime | None]
) -> RunnerContainer:
    """The runner's container of a pod.

    Args:
        parse: reads a time, told also the name of its field; what it raises is raised here.

    Raises:
        ValueError: something that should be an object is none; names it.
    """
    statuses = pod_status.get("containerStatuses") or ()
    if not isinstance(statuses, Sequence):
        raise ValueError("status.containerStatuses is not a list")
    ours = (
        one for one in statuses if isinstance(one, Mapping) and one.get("name") == RUNNER_CONTAINER
    )
    status = next(ours, _NOTHING)
    state = _object(status, "state") or _NOTHING
    running, terminated = _object(state, "running"), _object(state, "terminated")
    end = terminated
    if running is None and terminated is None:
        end = _object(_object(status, "lastState") or _NOTHING, "terminated")
    told = (running if running is not None else end) or _NOTHING
    return RunnerContainer(
        status=status,
        running=running,
        terminated=terminated,
        end=None if running is not None else end,
        started_at=if_real(parse(told.get("startedAt"), "startedAt")),
        finished_at=if_real(parse(told.get("finishedAt"), "finishedAt")),
    )


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = parent.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"status.containerStatuses: {name} is not an object")
    return value
