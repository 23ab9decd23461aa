"""A name for the pod's user.

A pod's user id is made from its owner's uid, so no image knows it: `whoami`, `ssh`, `git`,
`initdb`, Java's `user.name` and Python's `getpass.getuser()` fail or make something up. The
pod brings its own /etc/passwd and /etc/group: annotations, which a downwardAPI volume puts
over the image's files. That needs nothing of the image and no object of its own, works with
a read-only root, and Pod Security "restricted" allows it (docs/decisions/0060).
"""

from typing import Any, Final

from soulbox.model import keys

# The runner sets USER and LOGNAME to the same.
USER_NAME: Final = "sandbox"
_VOLUME: Final = "identity"
_FILES: Final = {"passwd": keys.PASSWD_ANNOTATION, "group": keys.GROUP_ANNOTATION}


def identity_annotations(user_id: int, home: str) -> dict[str, str]:
    """Contents of the two files. Root and nobody own the image's files and what user
    namespaces do not map, and would be listed as numbers."""
    users = (
        "root:x:0:0:root:/root:/bin/sh",
        f"{USER_NAME}:x:{user_id}:{user_id}:SoulBox sandbox:{home}:/bin/sh",
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    )
    groups = ("root:x:0:", f"{USER_NAME}:x:{user_id}:", "nogroup:x:65534:")
    return {
        keys.PASSWD_ANNOTATION: "\n".join(users) + "\n",
        keys.GROUP_ANNOTATION: "\n".join(groups) + "\n",
    }


def identity_volume() -> dict[str, Any]:
    """The volume with both files."""
    items = [
        {"path": name, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}
        for name, annotation in _FILES.items()
    ]
    return {"name": _VOLUME, "downwardAPI": {"defaultMode": 0o444, "items": items}}


def identity_mounts() -> list[dict[str, Any]]:
    """The files in their places."""
    return [
        {"name": _VOLUME, "mountPath": f"/etc/{name}", "subPath": name, "readOnly": True}
        for name in _FILES
    ]
