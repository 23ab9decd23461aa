"""Versions of a Function as its status lists them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# A withdrawn version is remembered, so that its name is not given to another content; those
# before so many others are forgotten (a guess: a page of `kubectl get -o yaml`).
MAX_WITHDRAWN: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One that can be called.

    Attributes:
        time: RFC 3339, "" where it is not known.
        code_sha256: hex, "" where it is not known.
        ordinal: how many were published, this one included; 0 where it is not known.
    """

    version: str
    revision: str
    time: str = ""
    code_sha256: str = ""
    ordinal: int = 0

    @property
    def is_counted(self) -> bool:
        """Whether the operator counted it; the owner's versions have dots."""
        return self.version.isascii() and self.version.isdecimal()

    def as_status(self) -> dict[str, Any]:
        """An entry of `status.versions`."""
        entry = {"version": self.version, "revision": self.revision}
        if self.time:
            entry["publishedTime"] = self.time
        if self.code_sha256:
            entry["codeSHA256"] = self.code_sha256
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """One that cannot be called any more; it may be published again as it was."""

    version: str
    revision: str
    time: str

    def as_status(self) -> dict[str, Any]:
        """An entry of `status.withdrawn`."""
        return {"version": self.version, "revision": self.revision, "withdrawnTime": self.time}


def published_of(status: Mapping[str, Any]) -> tuple[Published, ...]:
    """`status.versions`; entries that make no sense are left out."""
    return tuple(
        Published(
            version=entry["version"],
            revision=entry["revision"],
            time=str(entry.get("publishedTime") or ""),
            code_sha256=str(entry.get("codeSHA256") or ""),
        )
        for entry in _entries(status.get("versions"))
    )


def withdrawn_of(status: Mapping[str, Any]) -> tuple[Withdrawn, ...]:
    """`status.withdrawn`; entries that make no sense are left out."""
    return tuple(
        Withdrawn(
            version=entry["version"],
            revision=entry["revision"],
            time=str(entry.get("withdrawnTime") or ""),
        )
        for entry in _entries(status.get("withdrawn"))
    )


def counted(status: Mapping[str, Any], versions: Iterable[Published]) -> int:
    """How many versions were ever published: what the status says, or at least what there is."""
    told = status.get("published")
    numbers = [int(one.version) for one in versions if one.is_counted]
    ordinals = [one.ordinal for one in versions]
    return max([told if isinstance(told, int) else 0, *numbers, *ordinals])


def _entries(found: Any) -> list[Mapping[str, Any]]:
    if not isinstance(found, list):
        return []
    return [
        entry
        for entry in found
        if isinstance(entry, Mapping)
        and isinstance(entry.get("version"), str)
        and isinstance(entry.get("revision"), str)
    ]
