"""Rows of versions that the mirror did not see as current: two that were published in a moment,
all of them after the table was lost. Their ControllerRevisions hold them.

A Function whose status lists a version that is new is looked at soon after; a repair looks at all.
"""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final
from uuid import UUID

from soulbox.kinds.function.decide.published import published_of
from soulbox.kinds.function.rows import build_held_version
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import KubeClient
from soulbox.kube.resources import CONTROLLER_REVISIONS
from soulbox.mirror import Mirror
from soulbox.model.errors import KubeNotFound, KubeRefused, Retryable, StoreRefused
from soulbox.model.rows import FunctionVersionRow
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext, RowError, optional_uuid
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# Functions looked up at once, and versions read before any of them are written (a guess).
_FUNCTIONS: Final = 500
_VERSIONS: Final = 50
# By then the mirror has written what it saw: it waits 0.2 s for more. Where it has not, a row is
# read once more than need be, and the mirror's overwrites it.
_SETTLE_SECONDS: Final = 2.0


class VersionHistory:
    """Completes function_versions by what Functions list. For one event loop."""

    def __init__(
        self, kube: KubeClient, cache: ObjectCache, mirror: Mirror, context: RowContext
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._mirror = mirror
        self._context = context
        # Versions that each Function listed when it was last seen; who lists a new one.
        self._listed: dict[str, frozenset[str]] = {}
        self._waiting: dict[str, None] = {}
        self._woken = asyncio.Event()

    def notice(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """An object was seen in this version; of Functions alone anything follows."""
        if kind is not Kind.FUNCTION:
            return
        uid = manifest["metadata"]["uid"]
        listed = frozenset(one.version for one in published_of(manifest.get("status") or {}))
        if listed - self._listed.get(uid, frozenset()):
            self._waiting[uid] = None
            self._woken.set()
        self._listed[uid] = listed

    async def run(self, *, settle_seconds: float = _SETTLE_SECONDS) -> None:
        """Complete the versions of Functions that list a new one. Until cancelled."""
        while True:
            await self._woken.wait()
            await asyncio.sleep(settle_seconds)
            self._woken.clear()
            uids, self._waiting = list(self._waiting), {}
            try:
                for start in range(0, len(uids), _FUNCTIONS):
                    await self._complete(uids[start : start + _FUNCTIONS])
            except Retryable as error:
                _log.info("versions wait for the next repair", error=str(error)[:256])
            gone = [uid for uid in self._listed if self._cache.get(Kind.FUNCTION, uid) is None]
            for uid in gone:
                del self._listed[uid]

    async def complete(self) -> None:
        """Write the rows that are missing. Repeat it: versions come and go.

        Raises:
            StoreUnavailable, KubeUnavailable: not all was looked at.
        """
        uids = [manifest["metadata"]["uid"] for manifest in self._cache.all(Kind.FUNCTION)]
        for start in range(0, len(uids), _FUNCTIONS):
            await self._complete(uids[start : start + _FUNCTIONS])

    async def _complete(self, uids: list[str]) -> None:
        listed = {}
        for uid in uids:
            manifest = self._cache.get(Kind.FUNCTION, uid)
            known = optional_uuid(uid)
            if manifest is not None and known is not None:
                for one in published_of(manifest.get("status") or {}):
                    listed[known, one.version] = one.revision
        if not listed:
            return
        missing = iter(sorted(await self._mirror.missing_parts(FunctionVersionRow, listed.keys())))
        while portion := list(islice(missing, _VERSIONS)):
            rows = [await self._read(uid, listed[uid, version]) for uid, version in portion]
            await self._write([row for row in rows if row is not None])

    async def _read(self, function_uid: UUID, revision: str) -> FunctionVersionRow | None:
        function = self._cache.get(Kind.FUNCTION, str(function_uid))
        if function is None:
            return None
        namespace = function["metadata"]["namespace"]
        try:
            manifest = await self._kube.get(CONTROLLER_REVISIONS, revision, namespace)
            return build_held_version(manifest, function, self._context)
        except KubeNotFound:  # withdrawn meanwhile
            return None
        except (KubeRefused, RowError) as error:
            _log.warning("version without a row", revision=revision, error=str(error)[:256])
            return None

    async def _write(self, rows: list[FunctionVersionRow]) -> None:
        if not rows:
            return
        try:
            await self._mirror.add_parts(rows)
        except StoreRefused as error:
            if len(rows) == 1:
                _log.warning(
                    "version without a row", revision=rows[0].revision, error=str(error)[:256]
                )
                return
            for row in rows:  # all but the one that is refused
                await self._write([row])
