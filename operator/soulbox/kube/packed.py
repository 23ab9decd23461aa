"""Objects by uid, kept as JSON: a fifth of the memory of dicts, and none of it scattered.

Dicts that live for hours between others that live for milliseconds leave the interpreter's
memory full of holes that are never given back (measured: 80 KiB for each Sandbox with its
pod). Bytes of this size come from the C library instead. Those looked at lately are also kept
as dicts, since a Sandbox is looked at several times for each run in it.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import orjson

from soulbox.model.manifests import Manifest

# Sandboxes that are worked on at about the same time (a guess); some 10 KiB each.
_HOT: Final = 128


class PackedObject(Mapping[str, Any]):
    """An object as JSON, for keeping many for long and looking at each once. What it returns is
    shared and must not be changed."""

    __slots__ = ("_json",)
    # The one looked at last, by any: a look at one field is followed by looks at others.
    _open: ClassVar[tuple[bytes, Manifest]] = (b"", {})

    def __init__(self, json: bytes) -> None:
        self._json = json

    def __getitem__(self, field: str) -> Any:
        return self._unpacked()[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._unpacked())

    def __len__(self) -> int:
        return len(self._unpacked())

    def _unpacked(self) -> Manifest:
        json, manifest = PackedObject._open
        if json is not self._json:
            manifest = _unpack(self._json)
            PackedObject._open = (self._json, manifest)
        return manifest


def pack(manifest: Manifest) -> Manifest:
    """The object, to be kept for long: packed, or as it is when it is no JSON."""
    packed = _pack(manifest)
    return PackedObject(packed) if isinstance(packed, bytes) else packed


class PackedObjects:
    """A mapping of uid to object. What is returned is shared: it must not be changed."""

    def __init__(self) -> None:
        # An object that is no JSON (a lone surrogate, say) is kept as it is.
        self._packed: dict[str, bytes | Manifest] = {}
        self._hot: OrderedDict[str, Manifest] = OrderedDict()

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, uid: object) -> bool:
        return uid in self._packed

    def __getitem__(self, uid: str) -> Manifest:
        found = self._hot.get(uid)
        if found is not None:
            self._hot.move_to_end(uid)
            return found
        return self._heat(uid, _unpack(self._packed[uid]))

    def __setitem__(self, uid: str, manifest: Manifest) -> None:
        self._packed[uid] = _pack(manifest)
        self._heat(uid, manifest)

    def get(self, uid: str) -> Manifest | None:
        """The object, None if there is none."""
        return self[uid] if uid in self._packed else None

    def pop(self, uid: str, default: None) -> Manifest | None:
        """Remove and return the object; `default` if there is none."""
        packed = self._packed.pop(uid, default)
        hot = self._hot.pop(uid, None)
        return hot if hot is not None or packed is None else _unpack(packed)

    def values(self) -> Iterator[Manifest]:
        """Every object, in order of first arrival; one at a time in memory."""
        for uid, packed in self._packed.items():
            yield self._hot.get(uid) or _unpack(packed)

    def packed(self) -> Iterator[Manifest]:
        """Every object, to be kept: each shares its memory with this."""
        for packed in self._packed.values():
            yield PackedObject(packed) if isinstance(packed, bytes) else packed

    def _heat(self, uid: str, manifest: Manifest) -> Manifest:
        self._hot[uid] = manifest
        self._hot.move_to_end(uid)
        if len(self._hot) > _HOT:
            self._hot.popitem(last=False)
        return manifest


def _pack(manifest: Manifest) -> bytes | Manifest:
    try:
        return orjson.dumps(manifest)
    except TypeError:
        return manifest


def _unpack(packed: bytes | Manifest) -> Manifest:
    if not isinstance(packed, bytes):
        return packed
    manifest: Manifest = orjson.loads(packed)
    return manifest
