"""The kinds whose objects have rows, in the order in which they are repaired."""

from typing import Final

from soulbox.kinds.execution.mirrored import EXECUTION_ENTRY
from soulbox.kinds.function.mirrored import FUNCTION_ENTRY
from soulbox.kinds.pod.mirrored import POD_ENTRY
from soulbox.kinds.sandbox.mirrored import SANDBOX_ENTRY
from soulbox.mirror.entry import MirrorEntry

ENTRIES: Final[tuple[MirrorEntry, ...]] = (
    POD_ENTRY,
    SANDBOX_ENTRY,
    FUNCTION_ENTRY,
    EXECUTION_ENTRY,
)
