"""How Sandboxes are mirrored."""

from typing import Final

from soulbox.kinds.sandbox.rows import build_sandbox_row
from soulbox.mirror.entry import Built, Look, MirrorEntry
from soulbox.model.manifests import Manifest, is_deleting
from soulbox.model.rows import SandboxRow
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext


def _build(manifest: Manifest, context: RowContext, look: Look) -> Built:
    return Built(row=build_sandbox_row(manifest, context, gone_at=look.gone_at))


def _is_final(manifest: Manifest, gone: bool) -> bool:
    return gone or is_deleting(manifest)


SANDBOX_ENTRY: Final = MirrorEntry(
    kind=Kind.SANDBOX,
    row_type=SandboxRow,
    build=_build,
    is_final=_is_final,
    newest_decides=True,
)
