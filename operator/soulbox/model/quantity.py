"""Kubernetes quantities ("250m", "256Mi") to whole numbers and back.

The grammar is the one of `resource.Quantity`
(https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/): a
decimal number and one suffix out of three families. Like Kubernetes, a value finer than
the unit is rounded up (0.1m of CPU is 1 millicore). Unlike it, negative numbers and
numbers over 2**63-1 are refused rather than capped: as a limit neither means anything.
"""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}
# ASCII digits only: \d would take other scripts' digits, which Kubernetes refuses. An
# exponent of three digits is beyond every number we take and would cost time to expand.
_QUANTITY: Final = re.compile(
    r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]{1,2}))?",
)
# Longer texts are no quantity anybody writes; also bounds the work below.
MAX_TEXT: Final = 32
MAX_VALUE: Final = 2**63 - 1


def parse_quantity(text: float | str) -> Decimal:
    """The exact value of a quantity.

    Args:
        text: as in a manifest; YAML gives `cpu: 2` as an int and `cpu: 0.5` as a float.

    Raises:
        ValueError: not a quantity, negative, or over 2**63-1. The text is not repeated
            in the message beyond its first 32 characters.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError("a quantity is text such as 250m or 256Mi, or a number")
    text = str(text)  # of a float the shortest text that means it: "0.5", "1e+16"
    shown = text[:MAX_TEXT]
    match = _QUANTITY.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise ValueError(f"{shown!r} is not a quantity such as 250m or 256Mi")
    number = Decimal(match["number"])
    if match["exponent"] is not None:
        value = number.scaleb(int(match["exponent"]))
    else:
        suffix = match["suffix"] or ""
        value = number * (_BINARY[suffix] if suffix in _BINARY else _DECIMAL[suffix])
    if value > MAX_VALUE:
        raise ValueError(f"{shown!r} is more than 2^63-1")
    return value


def parse_millicores(text: float | str) -> int:
    """CPU in thousandths of a core, rounded up ("250m" is 250, 2 is 2000).

    Raises:
        ValueError: see `parse_quantity`.
    """
    return int((parse_quantity(text) * 1000).to_integral_value(ROUND_CEILING))


def parse_bytes(text: float | str) -> int:
    """Bytes, rounded up ("256Mi" is 268435456).

    Raises:
        ValueError: see `parse_quantity`.
    """
    return int(parse_quantity(text).to_integral_value(ROUND_CEILING))


def format_millicores(millicores: int) -> str:
    """Canonical text: whole cores without a suffix ("2"), else "250m"."""
    return str(millicores // 1000) if millicores % 1000 == 0 else f"{millicores}m"


def format_bytes(size_bytes: int) -> str:
    """Canonical text with the largest binary suffix that divides it ("256Mi")."""
    for suffix, factor in reversed(_BINARY.items()):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{suffix}"
    return str(size_bytes)
