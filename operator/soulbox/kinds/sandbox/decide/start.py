"""A Sandbox whose pod's container runs, and whose runner may start no code yet."""

from datetime import datetime

from soulbox.kinds.sandbox.decide.actions import Action, Decision
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.kinds.sandbox.decide.status import News, report
from soulbox.model.specs import SandboxClassSpec
from soulbox.model.states import SandboxReason, SandboxState
from soulbox.pure.actions import DeletePod, ProbeRunner
from soulbox.pure.pods.view import PodView

_ANOTHER = "It gets another pod."
_NO_OTHER = "It gets no other pod, the Sandbox is over."


def await_runner(
    seen: SeenSandbox, sandbox_class: SandboxClassSpec, pod: PodView, now: datetime
) -> Decision:
    """The runner answers in a moment, or starts no code for want of a network policy that holds:
    then the pod, which is billed, is given up after a while."""
    probe = ProbeRunner(pod_uid=pod.uid)
    unenforced = seen.unenforced.get(pod.uid)
    if unenforced is None:
        return Decision(actions=(probe,))
    message = f"{unenforced.message} No code was started in it."
    if unenforced.is_over:
        follows = sandbox_class.replace_lost_pods
        news = News(
            state=SandboxState.ERROR if follows else SandboxState.TERMINATED,
            reason=SandboxReason.NETWORK_NOT_ENFORCED,
            message=f"{message} {_ANOTHER if follows else _NO_OTHER}",
            pod=pod,
            warn=True,
        )
        return Decision(actions=(*report(seen, news, now), DeletePod(pod_uid=pod.uid)))
    actions: tuple[Action, ...] = (probe,)
    if unenforced.is_news:
        news = News(
            state=SandboxState.STARTING,
            reason=SandboxReason.NETWORK_NOT_ENFORCED,
            message=message,
            pod=pod,
            warn=True,
        )
        actions = (*report(seen, news, now), probe)
    return Decision(actions=actions, requeue_after_seconds=unenforced.look_again_seconds)


def told_again(seen: SeenSandbox, pod: PodView) -> News:
    """The same news of the same pod."""
    return News(
        state=SandboxState.ERROR,
        reason=SandboxReason.NETWORK_NOT_ENFORCED,
        message=str(seen.status.get("message", "")),
        pod=pod,
        warn=True,
    )


def was_unenforced(seen: SeenSandbox) -> bool:
    """Whether its last pod was given up so."""
    reason = SandboxReason.NETWORK_NOT_ENFORCED.value
    return seen.state is SandboxState.ERROR and seen.status.get("reason") == reason
