"""What the mirror has to know of a kind whose objects have rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from soulbox.model.manifests import Manifest, is_deleting
from soulbox.model.retention import RetentionPolicy
from soulbox.model.rows import ProgramRow, TableRow
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext
from soulbox.pure.pods.sight import PodSight


@dataclass(slots=True, kw_only=True)
class Remembered:
    """What later versions of an object may no longer say.

    Attributes:
        user_name: the user that its output belongs to.
        started_at: when its container started: a kubelet that lost the container forgets it.
    """

    user_name: str = ""
    started_at: datetime | None = None


# One of each is made with every row: a frozen dataclass takes four times as long to make.
@dataclass(slots=True, kw_only=True)
class Look:
    """What a row is made from, besides the manifest.

    Attributes:
        seen_at: when this version was seen.
        gone_at: the object no longer exists and was found gone then.
        started_at: see Remembered.
        is_known_program: whether a program, by tenant and code_sha256, is written already.
    """

    seen_at: datetime
    gone_at: datetime | None = None
    started_at: datetime | None = None
    is_known_program: Callable[[str, str], bool] = lambda _tenant, _code_sha256: False


@dataclass(slots=True, kw_only=True)
class Built:
    """What is written of a version; exactly one of row and pod is set.

    Attributes:
        program: the code that the object holds, if it is not known to be written.
        parts: further rows of the object, in tables of their own (Table.is_part).
        pod: running time, which is billed.
    """

    row: TableRow | None = None
    program: ProgramRow | None = None
    parts: tuple[TableRow, ...] = ()
    pod: PodSight | None = None


def _remember_nothing(_: Remembered, _manifest: Manifest) -> None:
    """Every version says all."""


def _never_expires(_: Manifest, _now: datetime, _retention: RetentionPolicy) -> bool:
    """Its rows are kept."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorEntry:
    """One kind that is mirrored.

    Attributes:
        row_type: of its table, which says how rows are written.
        build: raises RowError where no row can be made of a manifest.
        is_final: whether nothing more is to be written once a version is; told also whether the
            object is gone. Malformed objects are as final as they look.
        remember: notes what later versions may no longer say.
        newest_decides: a version that was final is not while a newer one waits.
        is_expired: whether retention has dropped the row of an object that ended.
        is_metered: its `build` gives running time, which is billed. One kind is.
    """

    kind: Kind
    row_type: type[TableRow]
    build: Callable[[Manifest, RowContext, Look], Built]
    is_final: Callable[[Manifest, bool], bool]
    remember: Callable[[Remembered, Manifest], None] = _remember_nothing
    newest_decides: bool = False
    is_expired: Callable[[Manifest, datetime, RetentionPolicy], bool] = _never_expires
    is_metered: bool = False


class BuildRow(Protocol):
    """Makes the row of one version of an object."""

    def __call__(
        self, manifest: Manifest, context: RowContext, *, gone_at: datetime | None
    ) -> TableRow:
        """Raises RowError where none can be made of it."""
        ...


def is_gone_or_going(manifest: Manifest, gone: bool) -> bool:
    """Of objects that stay until they are deleted: nothing of interest follows then."""
    return gone or is_deleting(manifest)


def one_row(kind: Kind, row_type: type[TableRow], build_row: BuildRow) -> MirrorEntry:
    """For a kind whose objects stay until they are deleted, and have one row each."""

    def build(manifest: Manifest, context: RowContext, look: Look) -> Built:
        return Built(row=build_row(manifest, context, gone_at=look.gone_at))

    return MirrorEntry(
        kind=kind,
        row_type=row_type,
        build=build,
        is_final=is_gone_or_going,
        newest_decides=True,
    )
