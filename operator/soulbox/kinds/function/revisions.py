"""Versions of Functions by the name of their ControllerRevision."""

from collections import OrderedDict
from typing import Final

from soulbox.kinds.function.spec import parse_revision
from soulbox.kube.client import KubeClient
from soulbox.kube.resources import CONTROLLER_REVISIONS
from soulbox.model.errors import KubeNotFound
from soulbox.model.functions import Revision

# Versions that are called at about the same time, and what they may take in all (guesses).
_KEPT: Final = 256
_KEPT_BYTES: Final = 16_777_216
# Of a version without code and files: the objects that hold it.
_BASE_BYTES: Final = 4_096


class Revisions:
    """Asks the API server once for each: they are immutable, and their names say what they
    hold. For one event loop."""

    def __init__(
        self, kube: KubeClient, *, kept: int = _KEPT, kept_bytes: int = _KEPT_BYTES
    ) -> None:
        self._kube = kube
        self._kept = kept
        self._kept_bytes = kept_bytes
        # The one asked for longest ago comes first.
        self._known: OrderedDict[tuple[str, str], Revision] = OrderedDict()
        self._bytes = 0

    async def read(self, namespace: str, name: str) -> Revision | None:
        """The version, None if there is no such ControllerRevision (any more).

        One that was read may have been withdrawn since: what can be called, the Function's
        `status.versions` says.

        Raises:
            InvalidManifest: it is no version of a Function, or malformed.
            KubeRefused, KubeUnavailable: it cannot be read.
        """
        key = (namespace, name)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        try:
            manifest = await self._kube.get(CONTROLLER_REVISIONS, name, namespace)
        except KubeNotFound:
            return None
        revision = parse_revision(manifest)
        self._keep(key, revision)
        return revision

    def forget(self, namespace: str, name: str) -> None:
        """It was withdrawn."""
        known = self._known.pop((namespace, name), None)
        if known is not None:
            self._bytes -= _bytes_of(known)

    def _keep(self, key: tuple[str, str], revision: Revision) -> None:
        self.forget(*key)
        self._known[key] = revision
        self._bytes += _bytes_of(revision)
        while len(self._known) > 1 and (
            len(self._known) > self._kept or self._bytes > self._kept_bytes
        ):
            self.forget(*next(iter(self._known)))


def _bytes_of(revision: Revision) -> int:
    """About what it takes; schemas count as text of some bytes a word."""
    spec = revision.spec
    texts = len(spec.code or "") + sum(len(file.content) for file in spec.files)
    schemas = len(str(spec.input_schema)) + len(str(spec.output_schema))
    return _BASE_BYTES + texts + 4 * schemas
