"""The kinds, each with what its CRD is made from and with how its objects are mirrored. What works
on them is put together in `controllers`."""

from typing import Final

from soulbox.kinds.execution import crd as execution
from soulbox.kinds.execution.mirrored import EXECUTION_ENTRY
from soulbox.kinds.function import crd as function
from soulbox.kinds.function.mirrored import FUNCTION_ENTRY
from soulbox.kinds.pod.mirrored import POD_ENTRY
from soulbox.kinds.sandbox import crd as sandbox
from soulbox.kinds.sandbox.rows import build_sandbox_row
from soulbox.kinds.sandbox_class import crd as sandbox_class
from soulbox.mirror.entry import MirrorEntry, one_row
from soulbox.model.rows import SandboxRow
from soulbox.model.states import Kind
from soulbox.schema.crd import Described

# Those that are ours.
DESCRIBED: Final[tuple[Described, ...]] = (
    sandbox_class.DESCRIBED,
    sandbox.DESCRIBED,
    function.DESCRIBED,
    execution.DESCRIBED,
)
# Those whose objects have rows, in the order in which they are repaired.
ENTRIES: Final[tuple[MirrorEntry, ...]] = (
    POD_ENTRY,
    one_row(Kind.SANDBOX, SandboxRow, build_sandbox_row),
    FUNCTION_ENTRY,
    EXECUTION_ENTRY,
)
