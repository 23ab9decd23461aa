"""The kinds that are ours, with what their CRDs are made from."""

from typing import Final

from soulbox.kinds.execution import crd as execution
from soulbox.kinds.function import crd as function
from soulbox.kinds.sandbox import crd as sandbox
from soulbox.kinds.sandbox_class import crd as sandbox_class
from soulbox.schema.crd import Described

DESCRIBED: Final[tuple[Described, ...]] = (
    sandbox_class.DESCRIBED,
    sandbox.DESCRIBED,
    function.DESCRIBED,
    execution.DESCRIBED,
)
