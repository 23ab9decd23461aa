"""Versions that calls run, or wait for."""

from soulbox.kinds.function.boxes import WaitingCalls
from soulbox.kinds.function.decide.published import Published
from soulbox.model.keys import REVISION_ANNOTATION
from soulbox.model.manifests import function_ref


def revisions_in_use(
    calls: WaitingCalls, namespace: str, name: str, versions: tuple[Published, ...]
) -> frozenset[str]:
    """ControllerRevisions that unfinished calls of a Function were dispatched with, or name.

    Args:
        versions: those that can be called.
    """
    by_version = {one.version: one.revision for one in versions}
    found = set()
    for queue in calls.call_queues(namespace, name):
        for execution in calls.unfinished(*queue):
            called = function_ref(execution)
            annotations = execution["metadata"].get("annotations") or {}
            told = annotations.get(REVISION_ANNOTATION)
            found.add(told if told is not None else by_version.get((called or ("", None))[1] or ""))
    return frozenset(name for name in found if name is not None)
