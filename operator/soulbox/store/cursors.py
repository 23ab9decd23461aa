"""Cursors: where a list or a stream of changes goes on. Opaque to who holds them.

A cursor names what it is of, the database's epoch (a restored database is another one) and
a position, under a checksum: what was made up or cut is told from what was given out. It
is no secret and gives no right; rows are the caller's by row security.
"""

import base64
import binascii
import hashlib
from typing import Any, Final

import orjson

from soulbox.model.errors import CursorExpired, InvalidRequest

_VERSION: Final = b"1"
_CHECK_BYTES: Final = 6
# Positions are two short values; anything longer was not given out by us.
_MAX_LENGTH: Final = 512
_REMEDY: Final = "leave it out to begin anew"


def encode_cursor(purpose: str, epoch: int, position: list[Any]) -> str:
    """A cursor for a position of JSON values."""
    body = _VERSION + orjson.dumps([purpose, epoch, position])
    return base64.urlsafe_b64encode(_check(body) + body).rstrip(b"=").decode()


def decode_cursor(purpose: str, epoch: int, text: str) -> list[Any]:
    """The position.

    Args:
        purpose: what the cursor must be of, filters included.
        epoch: the database's present one.

    Raises:
        InvalidRequest: it was not given out by this release, or for something else.
        CursorExpired: it is of before a restore.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if text.isascii() else b""
    except (binascii.Error, ValueError):
        raw = b""
    check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if len(text) > _MAX_LENGTH or not body.startswith(_VERSION) or check != _check(body):
        raise InvalidRequest("cursor", "it is not one that was given out", _REMEDY)
    found_purpose, found_epoch, position = orjson.loads(body[1:])
    if found_epoch != epoch:
        raise CursorExpired("cursor", "the database was restored since it was given out", _REMEDY)
    if found_purpose != purpose:
        raise InvalidRequest("cursor", "it was given out for other filters", _REMEDY)
    return list(position)


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"soulbox cursor" + body).digest()[:_CHECK_BYTES]
