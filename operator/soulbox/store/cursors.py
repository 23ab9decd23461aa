"""Cursors: where a list or a stream of changes continues. Opaque to their holders, and short:
people paste them.

A cursor names what it is of (by a hash), the database's epoch (a restored database is another
one) and a position, under a checksum: so that an invented or shortened one is recognised. It is not
secret and gives no rights; rows are the caller's by row security.
"""

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from soulbox.model.errors import CursorExpired, InvalidRequest

_VERSION: Final = b"2"
_CHECK_BYTES: Final = 6
_PURPOSE_BYTES: Final = 6
_EPOCH_BYTES: Final = 8
# Positions are two short values; anything longer was not given out by us.
_MAX_LENGTH: Final = 512
_REMEDY: Final = "leave it out to start again"
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def encode_cursor(purpose: str, epoch: int, position: list[Any]) -> str:
    """A cursor for a position of aware times, UUIDs, whole numbers and texts to 255 bytes."""
    body = _VERSION + _hash(purpose) + epoch.to_bytes(_EPOCH_BYTES, "big", signed=True)
    body += b"".join(map(_pack, position))
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
        raise InvalidRequest("cursor", "it was not issued by SoulBox", _REMEDY)
    found_purpose, rest = _take(body[len(_VERSION) :], _PURPOSE_BYTES)
    found_epoch, rest = _take(rest, _EPOCH_BYTES)
    if int.from_bytes(found_epoch, "big", signed=True) != epoch:
        raise CursorExpired("cursor", "the database was restored after it was issued", _REMEDY)
    if found_purpose != _hash(purpose):
        raise InvalidRequest("cursor", "it was issued for other filters", _REMEDY)
    position = []
    while rest:
        value, rest = _unpack(rest)
        position.append(value)
    return position


def _pack(value: datetime | UUID | int | str) -> bytes:
    match value:
        case datetime():
            return b"t" + ((value - _BEGINNING) // _MICROSECOND).to_bytes(8, "big", signed=True)
        case UUID():
            return b"u" + value.bytes
        case int():
            return b"i" + value.to_bytes(8, "big", signed=True)
        case str():
            raw = value.encode()
            return b"s" + len(raw).to_bytes(1, "big") + raw


def _unpack(raw: bytes) -> tuple[Any, bytes]:
    kind, rest = _take(raw, 1)
    if kind == b"s":
        length, rest = _take(rest, 1)
        text, rest = _take(rest, length[0])
        return text.decode(), rest
    value, rest = _take(rest, 16 if kind == b"u" else 8)
    if kind == b"u":
        return UUID(bytes=value), rest
    number = int.from_bytes(value, "big", signed=True)
    return (_BEGINNING + number * _MICROSECOND if kind == b"t" else number), rest


def _take(raw: bytes, count: int) -> tuple[bytes, bytes]:
    return raw[:count], raw[count:]


def _hash(purpose: str) -> bytes:
    return hashlib.sha256(b"soulbox purpose" + purpose.encode()).digest()[:_PURPOSE_BYTES]


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"soulbox cursor" + body).digest()[:_CHECK_BYTES]
