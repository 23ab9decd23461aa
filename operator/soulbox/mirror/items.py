"""From a sighting to what is written of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from soulbox.mirror.entry import Look, MirrorEntry
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import namespace_of
from soulbox.model.errors import StoreRefused
from soulbox.model.rows import DeadLetterRow, ProgramRow, TableRow
from soulbox.pure.fields import Cleaner, RowContext, RowError
from soulbox.pure.pods.sight import PodSight

# Kind of a dead letter that holds a program PostgreSQL would not take.
PROGRAM_KIND = "Program"


@dataclass(slots=True, kw_only=True)  # not frozen: see Look
class Item:
    """A sighting with what is written of it; exactly one of row and pod is set.

    Attributes:
        program: the code that the object holds, if it is not known to be written.
        parts: further rows of the object.
        pod: running time, which is billed.
        proven_until: bill a still running pod's hours up to this Lease renewTime.
    """

    sighting: Sighting
    row: TableRow | None = None
    program: ProgramRow | None = None
    parts: tuple[TableRow, ...] = ()
    pod: PodSight | None = None
    proven_until: datetime | None = None


class ItemBuilder:
    """Makes rows of the kinds that are mirrored.

    Attributes:
        entries: what is known of each kind, in the order in which they are repaired.
        metered: the kind whose running time is billed.
    """

    def __init__(self, entries: Sequence[MirrorEntry], context: RowContext) -> None:
        self.entries = {entry.kind: entry for entry in entries}
        self.context = context
        (self.metered,) = (entry.kind for entry in entries if entry.is_metered)

    def is_metered(self, sighting: Sighting) -> bool:
        """Whether its running time is billed."""
        return sighting.kind is self.metered

    def build(
        self,
        sighting: Sighting,
        *,
        started_at: datetime | None = None,
        proven_until: datetime | None = None,
        is_known_program: Callable[[str, str], bool] = lambda _tenant, _code_sha256: False,
    ) -> Item:
        """What is written of a sighting.

        Args:
            started_at, is_known_program: see Look.

        Raises:
            RowError: no rows can be made of it. A stored object can be malformed in ways
                nobody thought of, so whatever a builder trips over counts as this.
        """
        entry = self.entries.get(sighting.kind)
        if entry is None:
            raise RowError(f"{sighting.kind} is not mirrored")
        look = Look(
            seen_at=sighting.seen_at,
            gone_at=sighting.seen_at if sighting.deleted else None,
            started_at=started_at,
            is_known_program=is_known_program,
        )
        try:
            built = entry.build(sighting.manifest, _context_of(sighting, self.context), look)
        except RowError:
            raise
        except Exception as error:
            raise RowError(f"malformed ({type(error).__name__})") from error
        return Item(
            sighting=sighting,
            row=built.row,
            program=built.program,
            parts=built.parts,
            pod=built.pod,
            proven_until=proven_until,
        )

    def is_final(self, sighting: Sighting) -> bool:
        """Whether nothing is left to write about an object once this version is written. For
        billed objects it is asked only if no row can be made."""
        entry = self.entries.get(sighting.kind)
        return entry is not None and entry.is_final(sighting.manifest, sighting.deleted)


def dead_letter(sighting: Sighting, error: Exception, context: RowContext) -> DeadLetterRow:
    """What is kept of an object that could not be written. Every text of it can be stored."""
    metadata = sighting.manifest.get("metadata")
    names: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
    namespace = namespace_of(sighting.manifest)
    context = _context_of(sighting, context)
    clean = Cleaner().text
    is_told = isinstance(error, RowError | StoreRefused)
    return DeadLetterRow(
        cluster=context.cluster,
        tenant=clean(_tenant(context, namespace)) if namespace else None,
        user_name=None,
        kind=sighting.kind.value,
        uid=clean(sighting.uid) or "",
        namespace=clean(namespace) or None,
        name=_plain(names.get("name")),
        resource_version=_plain(names.get("resourceVersion")),
        sqlstate=error.sqlstate if isinstance(error, StoreRefused) else None,
        constraint_name=error.constraint if isinstance(error, StoreRefused) else None,
        # An error that nobody foresaw may quote anything: only its type is reported.
        error=(clean(str(error)[:1024]) or "") if is_told else f"a defect: {type(error).__name__}",
        payload=to_json(dict(sighting.manifest)),
    )


def _tenant(context: RowContext, namespace: str) -> str | None:
    try:
        return context.tenant_of(namespace)
    except Exception:  # a letter is written whatever else fails
        return None


def bare_letter(letter: DeadLetterRow) -> DeadLetterRow:
    """The same without the object, for one that cannot even be kept as it is."""
    return replace(letter, payload=to_json({"metadata": {"uid": letter.uid}, "kept": False}))


def dead_program(item: Item, error: Exception, context: RowContext) -> DeadLetterRow:
    """What is kept of a program that was refused while its Execution was not."""
    assert item.program is not None
    letter = dead_letter(item.sighting, error, context)
    return replace(letter, kind=PROGRAM_KIND, uid=item.program.code_sha256)


def _context_of(sighting: Sighting, context: RowContext) -> RowContext:
    """The context, with the tenant that was stamped when the sighting was spooled."""
    tenant = sighting.tenant
    return context if tenant is None else replace(context, tenant_of=lambda _: tenant)


def to_json(value: Any) -> str:
    """JSON text of ASCII characters, so that it holds NUL and lone surrogates as escapes; of
    what is nested too deeply to be written, a text that says so."""
    try:
        return json.dumps(value, default=str, ensure_ascii=True, separators=(",", ":"))
    except RecursionError:
        return '"nested too deeply to be kept"'


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None
