"""What a pass over a Function looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soulbox.kinds.function.decide.content import Code
from soulbox.kinds.function.decide.published import Published, Withdrawn
from soulbox.model.errors import InvalidManifest
from soulbox.model.functions import FunctionSpec
from soulbox.model.specs import CodeMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFunction:
    """Everything but what the judge says, which is asked about new versions only.

    Attributes:
        code: what code or codeFrom holds; None only where the spec is invalid.
        content: SHA-256 of all that runs, hex; "" where it is not known.
        versions: those that can be called, the newest first.
        withdrawn: the last of those that cannot any more, the newest first.
        published: how many were ever published.
        has_class: whether the class exists.
        class_objection: what the class does not allow in the spec, "" for nothing.
        in_use: ControllerRevisions that unfinished calls run.
        ready_boxes: how many of its own Sandboxes run.
    """

    uid: str
    namespace: str
    name: str
    generation: int
    status: Mapping[str, Any]
    spec: FunctionSpec | InvalidManifest
    code: Code | CodeMissing | None
    content: str
    versions: tuple[Published, ...]
    withdrawn: tuple[Withdrawn, ...]
    published: int
    has_class: bool
    class_objection: str
    in_use: frozenset[str]
    ready_boxes: int
