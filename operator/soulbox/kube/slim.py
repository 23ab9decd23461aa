"""What is left out of objects as they come in: what nobody here reads.

A running pod has some 9 KiB of JSON, most of it managedFields and a spec that we wrote
ourselves; as Python dicts that is five times as much, for each of thousands of pods. To use one of
these fields, remove it from these lists.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from soulbox.model.states import Kind

_METADATA: Final = frozenset({"managedFields", "selfLink"})
_POD_SPEC: Final = frozenset(
    {
        "dnsConfig",
        "dnsPolicy",
        "enableServiceLinks",
        "preemptionPolicy",
        "priority",
        "schedulerName",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "tolerations",
        "volumes",
    }
)
_CONTAINER: Final = frozenset(
    {
        "command",
        "env",
        "ports",
        "securityContext",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "volumeMounts",
        "workingDir",
    }
)
# What is kept of an Execution's managedFields: that there is an Apply among them.
_APPLIED: Final = [{"operation": "Apply"}]
# True of every pod that runs, and read by nobody.
_CONDITIONS: Final = frozenset({"PodReadyToStartContainers", "Initialized", "ContainersReady"})
_POD_STATUS: Final = frozenset({"hostIPs", "podIPs", "qosClass"})
_CONTAINER_STATUS: Final = frozenset(
    {"allocatedResources", "containerID", "resources", "user", "volumeMounts"}
)


def slim(kind: Kind, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without them; what is kept is shared with `manifest`, which is not changed."""
    metadata = _without(manifest["metadata"], _METADATA)
    if kind is Kind.EXECUTION and is_applied(manifest):
        metadata["managedFields"] = _APPLIED
    kept: dict[str, Any] = {**manifest, "metadata": metadata}
    if kind is Kind.POD:
        kept["spec"] = _without(manifest.get("spec"), _POD_SPEC)
        _each(kept["spec"], "containers", _CONTAINER)
        kept["status"] = _without(manifest.get("status"), _POD_STATUS)
        _each(kept["status"], "containerStatuses", _CONTAINER_STATUS)
        conditions = kept["status"].get("conditions")
        if isinstance(conditions, list):
            kept["status"]["conditions"] = [one for one in conditions if not _is_idle(one)]
    return kept


def is_applied(manifest: Mapping[str, Any]) -> bool:
    """Whether somebody manages the object by server-side apply, so that the API server must go
    on remembering whose each field is. True of the slim object too."""
    entries = manifest["metadata"].get("managedFields")
    return isinstance(entries, list) and any(
        isinstance(entry, Mapping) and entry.get("operation") == "Apply" for entry in entries
    )


def _without(fields: Any, left_out: Collection[str]) -> dict[str, Any]:
    if not isinstance(fields, Mapping):
        return {}
    return {name: value for name, value in fields.items() if name not in left_out}


def _each(fields: dict[str, Any], name: str, left_out: Collection[str]) -> None:
    items = fields.get(name)
    if isinstance(items, list):
        fields[name] = [
            _without(item, left_out) if isinstance(item, Mapping) else item for item in items
        ]


def _is_idle(condition: Any) -> bool:
    return isinstance(condition, Mapping) and condition.get("type") in _CONDITIONS
