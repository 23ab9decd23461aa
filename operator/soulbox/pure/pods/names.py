"""Deterministic names and ids, so that a create repeated after a crash meets itself."""

import hashlib
from typing import Final

# 40 bits of the hash: two owners of one namespace collide once in a million million; and
# a collision is caught by the owner's uid (NameConflict), never adopted.
_HASH_CHARACTERS: Final = 10
_POD_NAME_PREFIX_CHARACTERS: Final = 40

# runAsUser: RLIMIT_NPROC counts a host uid over all pods (measured), so each pod gets one
# of its own out of 2^30, above what hosts and user namespaces usually hand out.
_FIRST_UID: Final = 1_000_000
_UID_BITS: Final = 30


def pod_name(owner_name: str, owner_uid: str, incarnation: int) -> str:
    """Name of an owner's pod: readable prefix, then a hash of owner uid and incarnation.

    At most 51 characters whatever the owner's name (which may have 253): a pod's name is
    also its hostname, 63 at most, and container tools add to it.
    """
    prefix = owner_name[:_POD_NAME_PREFIX_CHARACTERS].replace(".", "-").rstrip("-")
    return f"{prefix}-{_digest(owner_uid, incarnation).hex()[:_HASH_CHARACTERS]}"


def pod_user_id(owner_uid: str, incarnation: int) -> int:
    """Numeric user and group of an owner's pod, from 1,000,000 to 1,074,741,823."""
    bits = int.from_bytes(_digest(owner_uid, incarnation)[-8:])
    return _FIRST_UID + bits % (1 << _UID_BITS)


def _digest(owner_uid: str, incarnation: int) -> bytes:
    return hashlib.sha256(f"{owner_uid}/{incarnation}".encode()).digest()
