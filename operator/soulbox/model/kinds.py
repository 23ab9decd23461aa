"""What is known of each kind, once: names, scope, table, and how it is watched.

Tables elsewhere (the resources that the API is asked for, the watches, the CRDs, the completions
of the shell) are made from these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from soulbox.model.keys import (
    EXECUTION_UID_LABEL,
    GROUP,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    SANDBOX_UID_LABEL,
    VERSION,
)
from soulbox.model.states import ExecutionState, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class KindInfo:
    """One kind that the operator watches.

    Attributes:
        short_name: what kubectl takes for it; "" where it is not ours to say.
        group: "" is the core group.
        selector: labels that an object must have to be watched; None watches all.
        table: where its rows lie, in the schema soulbox; None: it is not mirrored.
        owner_label: on a pod, the label with the uid of the object of this kind that the pod
            was made for; None: no pods are made for it.
        uses_class: whether `spec.className` names a SandboxClass.
        final_states: `status.state` after which nothing follows, for a kind that runs once.
        is_packed: whether its objects are many and rest, so that the cache packs them.
    """

    kind: Kind
    plural: str
    short_name: str = ""
    group: str = GROUP
    version: str = VERSION
    namespaced: bool = True
    selector: str | None = None
    table: str | None = None
    owner_label: str | None = None
    uses_class: bool = False
    final_states: frozenset[str] = frozenset()
    is_packed: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether the kind is one that SoulBox defines."""
        return self.group == GROUP

    @property
    def words(self) -> tuple[str, ...]:
        """What a person may call it on a command line, as with kubectl: singular, plural and
        short name."""
        return (self.kind.lower(), self.plural, *((self.short_name,) if self.short_name else ()))


SANDBOX_CLASS: Final = KindInfo(
    kind=Kind.SANDBOX_CLASS, plural="sandboxclasses", short_name="sbc", namespaced=False
)
SANDBOX: Final = KindInfo(
    kind=Kind.SANDBOX,
    plural="sandboxes",
    short_name="sbx",
    table="sandboxes",
    owner_label=SANDBOX_UID_LABEL,
    uses_class=True,
    is_packed=True,
)
EXECUTION: Final = KindInfo(
    kind=Kind.EXECUTION,
    plural="executions",
    short_name="sbe",
    table="executions",
    owner_label=EXECUTION_UID_LABEL,
    uses_class=True,
    final_states=frozenset(state.value for state in ExecutionState if state.is_final),
)
FUNCTION: Final = KindInfo(
    kind=Kind.FUNCTION,
    plural="functions",
    short_name="sbf",
    table="functions",
    uses_class=True,
    is_packed=True,
)
POD: Final = KindInfo(
    kind=Kind.POD,
    plural="pods",
    group="",
    version="v1",
    selector=f"{MANAGED_BY_LABEL}={MANAGED_BY}",
    table="pod_runs",
    is_packed=True,
)
NAMESPACE: Final = KindInfo(
    kind=Kind.NAMESPACE, plural="namespaces", group="", version="v1", namespaced=False
)

# In the order in which they are listed: what is looked up comes before what looks it up.
WATCHED: Final = (NAMESPACE, SANDBOX_CLASS, POD, SANDBOX, FUNCTION, EXECUTION)
INFO: Final[Mapping[Kind, KindInfo]] = {info.kind: info for info in WATCHED}
# Those that SoulBox defines.
OURS: Final = tuple(info for info in WATCHED if info.is_ours)
# Those whose objects have rows, in the order in which they are repaired.
MIRRORED: Final = tuple(info for info in WATCHED if info.table is not None)
# Those that pods are made for.
POD_OWNERS: Final = tuple(info for info in OURS if info.owner_label is not None)
# Those that tenants make in their namespaces.
TENANTS: Final = tuple(info for info in OURS if info.namespaced)
