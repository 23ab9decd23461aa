"""What pods say, remembered: a pass over an Execution looks at its Sandbox's pod several times, and
the next pass at the same version of it."""

from collections import OrderedDict
from typing import Final

from soulbox.model.manifests import Manifest
from soulbox.pure.pods.view import PodView, view_pod

# Pods that are looked at about the same time (a guess, as in kube/packed.py).
_KEPT: Final = 128


class PodViews:
    """The newest of each pod; the least recently asked for goes first. For one event loop."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[str, tuple[Manifest, PodView]] = OrderedDict()

    def of(self, pod: Manifest) -> PodView:
        """What the pod says. An entry counts only for this very object: what the cache returns is
        never changed in place."""
        uid: str = pod["metadata"]["uid"]
        known = self._known.get(uid)
        if known is not None and known[0] is pod:
            self._known.move_to_end(uid)
            return known[1]
        view = view_pod(pod)
        self._known[uid] = (pod, view)
        self._known.move_to_end(uid)
        if len(self._known) > self._kept:
            self._known.popitem(last=False)
        return view
