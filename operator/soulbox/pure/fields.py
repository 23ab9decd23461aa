"""Reading fields of a manifest that may be malformed, and cleaning text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from soulbox.model.json_values import UNSTORABLE, storable_json, storable_text
from soulbox.model.manifests import Manifest

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Names whose humps are not where a lower-case letter meets a capital.
_ACRONYMS: Final = {"podUID": "pod_uid", "imageID": "image_id", "hostIPs": "host_ips"}
# etcd's revision is an int64 (https://etcd.io/docs/v3.6/learning/api/).
_MAX_RESOURCE_VERSION: Final = 2**63 - 1


class RowError(ValueError):
    """No row can be made of a manifest; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowContext:
    """What a row says that is not in its manifest.

    Attributes:
        cluster_uid: UID of the namespace kube-system.
        tenant_of: the tenant of a namespace, by its label, else its name.
        language_of: the default language of a SandboxClass; None when it is not known.
        cluster: cluster_uid as a value.
    """

    cluster_uid: str
    tenant_of: Callable[[str], str]
    language_of: Callable[[str], str | None] = lambda _: None

    cluster: UUID = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cluster", UUID(self.cluster_uid))


class Cleaner:
    """Makes text storable and remembers whether anything had to be replaced."""

    __slots__ = ("cleaned",)

    def __init__(self) -> None:
        self.cleaned = False

    def text(self, value: Any) -> str | None:
        """The text with U+FFFD for what cannot be stored; None for None.

        Raises:
            RowError: not text.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            raise RowError(f"text was expected, not {type(value).__name__}")
        # Most texts end here; isascii is a flag of the string.
        if "\x00" not in value and value.isascii():
            return value
        found = storable_text(value)
        self.cleaned = self.cleaned or found is not value
        return found

    def any_json(self, value: Any) -> Any:
        """JSON that a program or tenant wrote, as it can be stored: see `storable_json`."""
        if value is None:
            return None
        found, is_whole = storable_json(value)
        self.cleaned = self.cleaned or not is_whole
        return found

    def value(self, value: Any) -> Any:
        """A JSON value (as parsed: dicts, lists, texts, numbers) with every text clean."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def document(self, value: Any) -> Any:
        """The same with the keys of all objects in snake_case."""
        # Three of these a row: what is plain is told by its type, without a call for each.
        if type(value) is dict:
            found = {}
            for key, item in value.items():
                kind = type(item)
                if kind is str:
                    is_plain = item.isascii() and "\x00" not in item
                else:
                    is_plain = kind is not dict and kind is not list
                name = _plain_snake_name(key)
                if name is None:
                    name = self.text(_snake_name(key))
                found[name] = item if is_plain else self.document(item)
            return found
        if isinstance(value, list):
            return [self.document(item) for item in value]
        return self.text(value) if isinstance(value, str) else value


def _snake_name(name: str) -> str:
    known = _ACRONYMS.get(name)
    return known if known is not None else _HUMP.sub("_", name).lower()


@lru_cache(maxsize=1024)
def _plain_snake_name(name: str) -> str | None:
    """None when it cannot be stored as it is."""
    found = _snake_name(name)
    return None if UNSTORABLE.search(found) else found


def mapping(parent: Manifest, name: str) -> Manifest:
    """A member that is an object; empty when absent or null.

    Raises:
        RowError: it is something else.
    """
    value = parent.get(name)
    if value is None:
        return {}
    # dict first: asking an abstract class costs ten times as much, and this is a hot path.
    if not isinstance(value, dict) and not isinstance(value, Mapping):
        raise RowError(f"{name} is not an object")
    return value


def uid_of(manifest: Manifest) -> UUID:
    """metadata.uid.

    Raises:
        RowError: absent or no UUID.
    """
    return required_uuid(mapping(manifest, "metadata").get("uid"), "metadata.uid")


def required_uuid(value: Any, name: str) -> UUID:
    """A UUID.

    Raises:
        RowError: absent or no UUID.
    """
    found = optional_uuid(value)
    if found is None:
        raise RowError(f"{name} is not a UUID")
    return found


def optional_uuid(value: Any) -> UUID | None:
    """A UUID; None when absent or no UUID: labels hold what a tenant put there."""
    if not isinstance(value, str):
        return None
    try:
        return UUID(value)
    except ValueError:
        return None


def optional_time(value: Any, name: str) -> datetime | None:
    """An RFC 3339 time in UTC; None when absent.

    Raises:
        RowError: no such time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    raise RowError(f"{name} is not an RFC 3339 time")


def required_time(value: Any, name: str) -> datetime:
    """An RFC 3339 time in UTC.

    Raises:
        RowError: absent or no such time.
    """
    found = optional_time(value, name)
    if found is None:
        raise RowError(f"{name} is missing")
    return found


def optional_int(value: Any, name: str) -> int | None:
    """A whole number; None when absent.

    Raises:
        RowError: something else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowError(f"{name} is not a whole number")
    return value


def optional_bool(value: Any, name: str) -> bool | None:
    """True or false; None when absent.

    Raises:
        RowError: something else.
    """
    if value is None or isinstance(value, bool):
        return value
    raise RowError(f"{name} is neither true nor false")


def resource_version(manifest: Manifest) -> int:
    """metadata.resourceVersion as a number: two of one object compare by it.

    Raises:
        RowError: absent or no number.
    """
    value = mapping(manifest, "metadata").get("resourceVersion")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        number = int(value) if len(value) <= 19 else _MAX_RESOURCE_VERSION + 1
        if number <= _MAX_RESOURCE_VERSION:
            return number
    raise RowError("metadata.resourceVersion is not a number")


def small_number(text: Any) -> int:
    """A label's whole number, 0 when it is none: labels hold what a tenant put there."""
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return 0
