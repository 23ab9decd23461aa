"""The Sandboxes that the operator keeps for calls of Functions, by Function."""

from collections import defaultdict

from soulbox.kinds.base import discard
from soulbox.kube.cache import Lookup
from soulbox.model.keys import FUNCTION_UID_LABEL, REVISION_ANNOTATION
from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind


def function_of(sandbox: Manifest) -> str | None:
    """UID of the Function whose Sandbox it is; None: it is nobody's but a person's. Our labels
    only the operator may write."""
    uid = (sandbox["metadata"].get("labels") or {}).get(FUNCTION_UID_LABEL)
    return None if uid is None else str(uid)


def revision_of(sandbox: Manifest) -> str:
    """The version whose calls run in it, by the name of its ControllerRevision."""
    annotations = sandbox["metadata"].get("annotations") or {}
    return str(annotations.get(REVISION_ANNOTATION, ""))


class FunctionSandboxes:
    """An index of the cache."""

    def __init__(self, objects: Lookup) -> None:
        self._objects = objects
        self._by_function: defaultdict[str, set[str]] = defaultdict(set)

    def put(self, uid: str, manifest: Manifest, before: Manifest | None) -> None:
        """Its Function's it stays: the label is nobody's to take off."""
        del before
        function = function_of(manifest)
        if function is not None:
            self._by_function[function].add(uid)

    def remove(self, uid: str, manifest: Manifest) -> None:
        """Forget it."""
        function = function_of(manifest)
        if function is not None:
            discard(self._by_function, function, uid)

    def of(self, function_uid: str, namespace: str) -> list[Manifest]:
        """Sandboxes of that Function, of all its versions, by name. A label of another namespace
        is none of the operator's, and would reach into this one."""
        found = [
            sandbox
            for uid in self._by_function.get(function_uid, ())
            if (sandbox := self._objects.get(Kind.SANDBOX, uid)) is not None
            and sandbox["metadata"]["namespace"] == namespace
        ]
        return sorted(found, key=lambda sandbox: str(sandbox["metadata"]["name"]))
