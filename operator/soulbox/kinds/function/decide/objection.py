"""Why a Function is not as its owner wants it."""

from dataclasses import dataclass
from typing import Final

from soulbox.kinds.function.decide.seen import SeenFunction
from soulbox.kinds.function.decide.versions import Conflict, Current, New
from soulbox.model.errors import InvalidManifest
from soulbox.model.functions import FunctionSpec
from soulbox.model.specs import CodeMissing, CodeSource
from soulbox.model.states import FunctionReason

# What helps may come without the Function being written: a ConfigMap, room in a quota.
_MISSING_SECONDS: Final = 10.0
_QUOTA_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """A reason, its words, and when to look again; None: somebody has to write it."""

    reason: FunctionReason
    message: str
    again_seconds: float | None = None

    @property
    def is_final(self) -> bool:
        """Whether the owner has to change the spec."""
        return self.reason in (
            FunctionReason.INVALID_SPEC,
            FunctionReason.SCHEMA_INVALID,
            FunctionReason.VERSION_CONFLICT,
        )


def to_content(seen: SeenFunction) -> Objection | None:
    """What keeps its content from being known."""
    if isinstance(seen.spec, InvalidManifest):
        return Objection(reason=FunctionReason.INVALID_SPEC, message=str(seen.spec))
    if isinstance(seen.code, CodeMissing):
        return Objection(
            reason=FunctionReason.CODE_MISSING,
            message=seen.code.message,
            again_seconds=_MISSING_SECONDS,
        )
    return None


def to_version(
    seen: SeenFunction, spec: FunctionSpec, found: Current | New | Conflict
) -> Objection | None:
    """What speaks against the version that its content is."""
    if isinstance(found, Conflict):
        return _conflict(spec, found)
    if not seen.has_class:
        return Objection(
            reason=FunctionReason.CLASS_NOT_FOUND,
            message=f'SandboxClass "{spec.class_name}" does not exist; create it, or name another'
            " in spec.className.",
        )
    if seen.class_objection:
        return Objection(reason=FunctionReason.INVALID_SPEC, message=seen.class_objection)
    return None


def of_schema(message: str) -> Objection:
    """What the judge says of a schema."""
    return Objection(reason=FunctionReason.SCHEMA_INVALID, message=message)


def of_refusal(what: str, message: str, *, is_quota: bool) -> Objection:
    """The API server does not take something that the Function needs.

    Args:
        what: with its article, for the middle of a sentence.
    """
    reason = FunctionReason.QUOTA_EXCEEDED if is_quota else FunctionReason.INVALID_SPEC
    return Objection(
        reason=reason,
        message=f"The API server refused {what}: {message}",
        again_seconds=_QUOTA_SECONDS,
    )


def of_stranger(revision: str) -> Objection:
    """Somebody else made an object of the name that the version needs."""
    return Objection(
        reason=FunctionReason.VERSION_CONFLICT,
        message=f'ControllerRevision "{revision}" exists and is not this version; delete it.',
        again_seconds=_QUOTA_SECONDS,
    )


def _conflict(spec: FunctionSpec, found: Conflict) -> Objection:
    if spec.code_from is not None:
        where = f'{spec.code_from.source.value} "{spec.code_from.name}"'
        cause = f"the code in {where}, or what else runs, is not what was published under it"
    else:
        cause = "it was published with another content"
    withdrawn = " and has been withdrawn since" if found.is_withdrawn else ""
    lasting = (
        "; the published version can be called once the Secret holds its code again"
        if spec.code_from is not None and spec.code_from.source is CodeSource.SECRET
        else ""
    )
    return Objection(
        reason=FunctionReason.VERSION_CONFLICT,
        message=f"spec.version {found.version} is taken: {cause}{withdrawn}. Raise it, or leave it"
        f" out and versions are counted{lasting}.",
    )
