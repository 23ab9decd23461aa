"""The pipe between the two: frames of four bytes of length and that many bytes.

An ask is three frames: a header of JSON, the schema or expression, the document. They are
apart so that nothing a tenant wrote is ever parsed as a part of the header. A reply is one frame
of JSON; the first reply says that the child is ready.
"""

import struct
from typing import Final

_LENGTH: Final = struct.Struct(">I")
LENGTH_BYTES: Final = _LENGTH.size


class BrokenFrame(Exception):
    """The other side does not speak this: a length over the bound, an end in the middle."""


def pack(*parts: bytes) -> bytes:
    """Frames, one after the other."""
    return b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))


def length(head: bytes, most: int) -> int:
    """The length that these four bytes announce.

    Raises:
        BrokenFrame: it is over the bound.
    """
    (announced,) = _LENGTH.unpack(head)
    if announced > most:
        raise BrokenFrame(f"a frame of {announced} bytes, of at most {most}")
    return int(announced)
