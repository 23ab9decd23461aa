"""What is made from each class."""

from collections import defaultdict

from soulbox.kinds.base import discard
from soulbox.model.manifests import Manifest, class_name, is_finished
from soulbox.model.states import Kind


class ClassUsers:
    """An index of the cache, of one kind whose objects name a class."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._by_class: defaultdict[str, set[str]] = defaultdict(set)

    def put(self, uid: str, manifest: Manifest, before: Manifest | None) -> None:
        """It uses its class until it is over. An Execution in a Sandbox uses the Sandbox's."""
        if before is not None and class_name(before) != class_name(manifest):
            self.remove(uid, before)
        if self._kind is Kind.EXECUTION and not class_name(manifest):
            return
        if self._kind is Kind.EXECUTION and is_finished(manifest):
            self.remove(uid, manifest)
        else:
            self._by_class[class_name(manifest)].add(uid)

    def remove(self, uid: str, manifest: Manifest) -> None:
        """Forget it."""
        discard(self._by_class, class_name(manifest), uid)

    def of(self, name: str) -> list[tuple[Kind, str]]:
        """What uses the class, as (kind, uid)."""
        return sorted((self._kind, uid) for uid in self._by_class.get(name, ()))
