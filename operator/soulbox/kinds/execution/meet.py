"""Runs that runners hold, as they tell by themselves: after a restart the first thing to know."""

from soulbox.kinds.execution.runs import RunFollower
from soulbox.model.errors import HostileReply, RunnerRefused, RunnerUnavailable
from soulbox.model.marks import dispatch_mark
from soulbox.model.states import Kind
from soulbox.reconcile.services import Services, address_of


class RunMeeter:
    """For one event loop."""

    def __init__(self, services: Services, runs: RunFollower) -> None:
        self._services = services
        self._runs = runs

    async def meet(self, pod_uid: str, execution_uid: str, attempt: int) -> None:
        """A run the runner says it holds: follow it if it was handed to it, let it go when its
        Execution is no more, or was handed over anew."""
        services = self._services
        pod = services.cache.get(Kind.POD, pod_uid)
        address = None if pod is None else address_of(pod)
        if address is None:
            return
        execution = services.cache.get(Kind.EXECUTION, execution_uid)
        if execution is not None:
            handed_to, newest = dispatch_mark(execution["metadata"])
            if (handed_to, newest) == (pod_uid, attempt):
                self._runs.follow(execution_uid, address, attempt, None)
                return
            if attempt > newest or not newest:
                # Not known to be handed over: perhaps the watch is late, perhaps the runner
                # lies about somebody else's Execution. Whatever hands it over asks for itself.
                return
        try:
            await services.runner.cancel(address, execution_uid, attempt)
            await services.runner.release(address, execution_uid, attempt)
        except (RunnerUnavailable, RunnerRefused, HostileReply) as error:
            # It holds a little space until the pod ends; nothing else depends on it.
            services.metrics.runner_error(type(error).__name__)
