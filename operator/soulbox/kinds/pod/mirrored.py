"""How pods are mirrored: their running time, and with it their bills."""

from collections.abc import Mapping
from typing import Final

from soulbox.mirror.entry import Built, Look, MirrorEntry, Remembered
from soulbox.model.manifests import Manifest, is_deleting, is_over
from soulbox.model.rows import PodRunRow
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext
from soulbox.pure.pods.sight import build_pod_sight, container_started_at


def _build(manifest: Manifest, context: RowContext, look: Look) -> Built:
    sight = build_pod_sight(
        manifest,
        context,
        seen_at=look.seen_at,
        started_at=look.started_at,
        gone_at=look.gone_at,
    )
    return Built(pod=sight)


def _is_final(manifest: Manifest, gone: bool) -> bool:
    """Asked where no row can be made; else the row of its running time tells."""
    has_status = isinstance(manifest.get("status"), Mapping)
    return is_deleting(manifest) or (is_over(manifest) if has_status else gone)


def _remember(memory: Remembered, manifest: Manifest) -> None:
    if memory.started_at is None:
        memory.started_at = container_started_at(manifest)


POD_ENTRY: Final = MirrorEntry(
    kind=Kind.POD,
    row_type=PodRunRow,
    build=_build,
    is_final=_is_final,
    remember=_remember,
    is_metered=True,
)
