"""What several readers look up in an object as the API server has it, each read once, here.

A manifest is a mapping decoded from JSON. Those of our kinds passed our CRDs when they were
written; those of pods were made by us, and may have been edited.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from soulbox.model.keys import API_VERSION, GROUP, RECORDED_FINALIZER, SANDBOX_ANNOTATION
from soulbox.model.kinds import EXECUTION
from soulbox.model.marks import is_dispatched
from soulbox.model.states import Kind

Manifest = Mapping[str, Any]


def sandbox_ref(execution: Manifest) -> str | None:
    """Name of the Sandbox that an Execution runs in; None: it has a pod of its own, or calls a
    Function and was not handed to one of its Sandboxes yet."""
    spec = execution.get("spec") or {}
    name = (spec.get("sandboxRef") or {}).get("name")
    # A copy brings the annotation along; after a loss any of them may take it.
    if name is None and "functionRef" in spec and is_dispatched(execution):
        name = (execution["metadata"].get("annotations") or {}).get(SANDBOX_ANNOTATION)
    return None if name is None else str(name)


def function_ref(execution: Manifest) -> tuple[str, str | None] | None:
    """Name and version of the Function that an Execution calls; None: it calls none."""
    called = (execution.get("spec") or {}).get("functionRef")
    if not isinstance(called, Mapping):
        return None
    version = called.get("version")
    return str(called.get("name")), None if version is None else str(version)


def class_name(manifest: Manifest) -> str:
    """`spec.className`, "" where it is not set."""
    return str((manifest.get("spec") or {}).get("className") or "")


def is_finished(execution: Manifest) -> bool:
    """Whether this version of an Execution is its end."""
    status = execution.get("status")
    return isinstance(status, Mapping) and status.get("state") in EXECUTION.final_states


def is_over(pod: Manifest) -> bool:
    """Whether every container of a pod has ended and none will start again."""
    status = pod.get("status")
    return isinstance(status, Mapping) and status.get("phase") in ("Succeeded", "Failed")


def is_deleting(manifest: Manifest) -> bool:
    """Whether somebody asked for its deletion."""
    metadata = manifest.get("metadata")
    return isinstance(metadata, Mapping) and bool(metadata.get("deletionTimestamp"))


def has_recorded(manifest: Manifest) -> bool:
    """Whether an object has our finalizer: of a pod, that the operator made it. Anybody may
    write a label on a pod of their own."""
    return RECORDED_FINALIZER in (manifest["metadata"].get("finalizers") or ())


def finalizers_with_ours(manifest: Manifest) -> list[str]:
    """The object's finalizers and ours; a merge patch replaces lists whole."""
    finalizers = manifest["metadata"].get("finalizers") or ()
    return [*finalizers] if has_recorded(manifest) else [*finalizers, RECORDED_FINALIZER]


def finalizers_without_ours(manifest: Manifest) -> list[str]:
    """The object's finalizers except ours, likewise."""
    finalizers = manifest["metadata"].get("finalizers") or ()
    return [name for name in finalizers if name != RECORDED_FINALIZER]


def owners_of(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Kind, uid and name of each owner of our group, whichever version of it is referred to.
    Garbage collection checks these references, and takes them off with `--cascade=orphan`."""
    for reference in manifest["metadata"].get("ownerReferences") or ():
        if (
            isinstance(reference, Mapping)
            and str(reference.get("apiVersion")).partition("/")[0] == GROUP
        ):
            yield str(reference.get("kind")), str(reference.get("uid")), str(reference.get("name"))


def controller_of(manifest: Manifest) -> tuple[str, str, str] | None:
    """Kind, uid and name of the object of our group that it was made for; None: of none."""
    for reference in manifest["metadata"].get("ownerReferences") or ():
        if (
            isinstance(reference, Mapping)
            and reference.get("controller") is True
            and str(reference.get("apiVersion")).partition("/")[0] == GROUP
        ):
            return str(reference.get("kind")), str(reference.get("uid")), str(reference.get("name"))
    return None


def reference_to(kind: Kind, name: str, uid: str) -> dict[str, Any]:
    """The owner reference of what is made for an object: it goes when that goes."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "name": name,
        "uid": uid,
        "controller": True,
        # True needs the right to update the owner's finalizers, for nothing that is used.
        "blockOwnerDeletion": False,
    }
