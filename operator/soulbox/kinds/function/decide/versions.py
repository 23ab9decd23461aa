"""Which version a Function's spec is, and which versions are withdrawn. ::

no version in spec:  content of a counted version      -> that one (a rollback, or nothing new)
                     content never seen                -> the next number, to be published
a version in spec:   published under it, same content  -> that one
                     published under it, other content -> VersionConflict
                     never seen                        -> it, to be published
"""

from collections.abc import Iterable
from dataclasses import dataclass

from soulbox.kinds.function.decide.content import revision_name
from soulbox.kinds.function.decide.published import Published, Withdrawn
from soulbox.kinds.function.decide.seen import SeenFunction
from soulbox.model.functions import FunctionSpec


@dataclass(frozen=True, slots=True)
class Current:
    """The spec is a version that is published."""

    entry: Published


@dataclass(frozen=True, slots=True)
class New:
    """The spec is a version that has to be published."""

    version: str
    revision: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The spec gives a version's name to another content."""

    version: str
    is_withdrawn: bool


def find_version(seen: SeenFunction, spec: FunctionSpec) -> Current | New | Conflict:
    """Of a spec whose content is known."""
    if spec.version is None:
        return _counted(seen)
    revision = revision_name(seen.name, seen.uid, spec.version, seen.content)
    for entry in seen.versions:
        if entry.version == spec.version:
            return Current(entry) if entry.revision == revision else Conflict(spec.version, False)
    for gone in seen.withdrawn:
        if gone.version == spec.version and gone.revision != revision:
            return Conflict(spec.version, True)
    return New(spec.version, revision)


def _counted(seen: SeenFunction) -> Current | New:
    def revision(version: str) -> str:
        return revision_name(seen.name, seen.uid, version, seen.content)

    for entry in seen.versions:
        if entry.is_counted and entry.revision == revision(entry.version):
            return Current(entry)
    for gone in seen.withdrawn:
        if gone.version.isdecimal() and gone.revision == revision(gone.version):
            return New(gone.version, gone.revision)
    number = str(seen.published + 1)
    return New(number, revision(number))


def with_new(versions: Iterable[Published], entry: Published) -> tuple[Published, ...]:
    """The versions with one that has just been published."""
    return (entry, *(one for one in versions if one.version != entry.version))


def to_withdraw(
    versions: Iterable[Published], current: Published, limit: int, in_use: frozenset[str]
) -> tuple[Published, ...]:
    """Which are withdrawn: those beside the current one that are over the limit, the newest
    first, and that nobody runs."""
    others = [one for one in versions if one.version != current.version]
    return tuple(one for one in others[limit:] if one.revision not in in_use)


def without(versions: Iterable[Published], withdrawn: Iterable[Published]) -> tuple[Published, ...]:
    """The versions that are left."""
    gone = {one.version for one in withdrawn}
    return tuple(one for one in versions if one.version not in gone)


def remembered(
    before: Iterable[Withdrawn],
    versions: Iterable[Published],
    withdrawn: Iterable[Published],
    now: str,
    limit: int,
) -> tuple[Withdrawn, ...]:
    """The withdrawn ones to be remembered; one that is published again is none."""
    callable_now = {one.version for one in versions}
    fresh = tuple(
        Withdrawn(version=one.version, revision=one.revision, time=now) for one in withdrawn
    )
    known = {one.version for one in fresh}
    older = (one for one in before if one.version not in callable_now | known)
    return (*fresh, *older)[:limit]
