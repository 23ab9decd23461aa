"""The ControllerRevisions of Functions: found, made, and deleted."""

from collections.abc import Mapping
from typing import Any

from soulbox.kinds.function.decide.content import Code, build_revision
from soulbox.kinds.function.decide.objection import Objection, of_refusal, of_stranger
from soulbox.kinds.function.decide.published import Published
from soulbox.kinds.function.decide.versions import New
from soulbox.kinds.function.spec import parse_revision
from soulbox.kube.client import KubeClient
from soulbox.kube.resources import CONTROLLER_REVISIONS
from soulbox.model.errors import InvalidManifest, KubeExists, KubeNotFound, KubeRefused
from soulbox.model.functions import Revision
from soulbox.model.keys import FUNCTION_UID_LABEL
from soulbox.model.manifests import Manifest
from soulbox.reconcile.writes import is_quota
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)


class Publisher:
    """Each call is safe to repeat."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def held(self, function: Manifest) -> tuple[Published, ...]:
        """All versions that there are, the newest first: for a status that lists none."""
        metadata = function["metadata"]
        found = await self._kube.list(
            CONTROLLER_REVISIONS,
            metadata["namespace"],
            label_selector=f"{FUNCTION_UID_LABEL}={metadata['uid']}",
        )
        versions = [
            _published(revision, manifest)
            for manifest in found
            if (revision := _parsed(manifest)) is not None
            and revision.function_uid == metadata["uid"]
        ]
        return tuple(sorted(versions, key=lambda one: (one.ordinal, one.version), reverse=True))

    async def publish(
        self, function: Manifest, new: New, ordinal: int, code: Code, content: str
    ) -> Published | Objection:
        """Make the ControllerRevision of a version; one that holds the same is success.

        Args:
            ordinal: how many versions are published then.
        """
        namespace = function["metadata"]["namespace"]
        wanted = build_revision(
            function, version=new.version, ordinal=ordinal, code=code, content=content
        )
        try:
            made = await self._kube.create(CONTROLLER_REVISIONS, wanted, namespace)
        except KubeExists:
            made = await self._kube.get(CONTROLLER_REVISIONS, new.revision, namespace)
        except KubeRefused as error:
            if "NamespaceTerminating" in error.causes:
                raise
            what = "the ControllerRevision of its new version"
            return of_refusal(what, error.message, is_quota=is_quota(error))
        revision = _parsed(made)
        if revision is None or revision.function_uid != function["metadata"]["uid"]:
            return of_stranger(new.revision)
        return _published(revision, made)

    async def withdraw(self, namespace: str, revision: str) -> None:
        """Delete it; one that is gone is success."""
        try:
            found = await self._kube.get(CONTROLLER_REVISIONS, revision, namespace)
        except KubeNotFound:
            return
        await self._kube.delete(
            CONTROLLER_REVISIONS, revision, namespace, uid=found["metadata"]["uid"]
        )


def _parsed(manifest: Mapping[str, Any]) -> Revision | None:
    """None: it is none of ours."""
    try:
        return parse_revision(manifest)
    except InvalidManifest as error:
        _log.debug("no version of a Function", name=manifest["metadata"]["name"], error=str(error))
        return None


def _published(revision: Revision, manifest: Mapping[str, Any]) -> Published:
    return Published(
        version=revision.version,
        revision=revision.name,
        time=str(manifest["metadata"].get("creationTimestamp") or ""),
        code_sha256=revision.code_sha256,
        ordinal=int(manifest.get("revision") or 0),
    )
