"""How Functions are mirrored, and the version that is current in each."""

from typing import Final

from soulbox.kinds.function.rows import build_current_version, build_function_row
from soulbox.mirror.entry import Built, Look, MirrorEntry, is_gone_or_going
from soulbox.model.manifests import Manifest
from soulbox.model.rows import FunctionRow
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext


def _build(manifest: Manifest, context: RowContext, look: Look) -> Built:
    row = build_function_row(manifest, context, gone_at=look.gone_at)
    version = build_current_version(manifest, context)
    return Built(row=row, parts=() if version is None else (version,))


FUNCTION_ENTRY: Final = MirrorEntry(
    kind=Kind.FUNCTION,
    row_type=FunctionRow,
    build=_build,
    is_final=is_gone_or_going,
    newest_decides=True,
)
