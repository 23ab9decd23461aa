"""Tenants by namespace, known before the first row of an object: it keeps its tenant for ever.

Each kind has a watch of its own, so an object may be seen before its Namespace. It is not passed on
until the API server has been asked for that Namespace.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import KubeClient
from soulbox.kube.resources import NAMESPACES
from soulbox.kube.slim import slim
from soulbox.model.errors import KubeNotFound, KubeRefused, KubeUnavailable
from soulbox.model.keys import TENANT_LABEL
from soulbox.model.states import Kind
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

_RETRY_SECONDS: Final = 1.0
# Tenants remembered: of more namespaces than a cluster is made for.
_REMEMBERED: Final = 20_000


class Namespaces:
    """For one event loop."""

    def __init__(
        self, kube: KubeClient, cache: ObjectCache, *, remembered: int = _REMEMBERED
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._remembered_max = remembered
        # What was last said of each, for the last rows of one that is gone.
        self._tenants: OrderedDict[str, str] = OrderedDict()
        # One asks at a time: a thousand objects of a new namespace need one answer.
        self._asking = asyncio.Lock()

    def tenant_of(self, namespace: str) -> str:
        """By the Namespace's label, else its name; of one that is gone, as it last was."""
        return self._known(namespace) or self._tenants.get(namespace, namespace)

    async def look_up(self, namespace: str | None) -> None:
        """Ask for the Namespace if it is not known. One that is gone stays unknown, and so
        does one that may not be read.

        Args:
            namespace: of an object; None or "" of one that is in none.

        Raises:
            KubeUnavailable: the API server cannot say now.
        """
        if not namespace or self._known(namespace):
            return
        async with self._asking:
            if self._known(namespace):
                return
            try:
                found = await self._kube.get(NAMESPACES, namespace)
            except KubeNotFound:
                return
            except KubeRefused as error:
                _log.warning("a Namespace cannot be read", name=namespace, error=str(error)[:256])
                return
            self._cache.put(Kind.NAMESPACE, slim(Kind.NAMESPACE, found))
            self._known(namespace)

    async def learn(self, namespace: str | None) -> None:
        """The same, until the API server has said it."""
        while True:
            try:
                await self.look_up(namespace)
            except KubeUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def _known(self, namespace: str) -> str | None:
        """The tenant of a Namespace that is there, now remembered; None of another."""
        manifest = self._cache.by_name(Kind.NAMESPACE, "", namespace)
        if manifest is None:
            return None
        labels = manifest["metadata"].get("labels") or {}
        tenant = str(labels.get(TENANT_LABEL) or namespace)
        self._tenants[namespace] = tenant
        self._tenants.move_to_end(namespace)
        if len(self._tenants) > self._remembered_max:
            self._tenants.popitem(last=False)
        return tenant
