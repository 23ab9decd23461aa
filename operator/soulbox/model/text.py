"""Text that others wrote, made fit for objects and terminals.

What code, kubelets and webhooks say becomes part of messages that administrators read with
kubectl, in an Event or a log. It may hold what a terminal obeys, what turns the order of
letters round, and what `kubectl get -o yaml` cannot print at all.
"""

import re
from typing import Final

# YAML takes neither of these, and JSON writes them as they are: one in one object breaks the
# whole list. Characters below U+0020 JSON escapes (https://yaml.org/spec/1.2.2/#51-character-set).
_NOT_YAML: Final = re.compile("[\x7f-\x84\x86-\x9f\ufffe\uffff]")
# All control characters but tab and line feed; what sets the direction of text; line breaks
# of Unicode's own; what has no width and no use in a message (U+200D joins emoji); tags.
_NOT_FOR_PEOPLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\ufffe\uffff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with what only machines obey written out: ESC becomes \\x1b."""
    return _NOT_FOR_PEOPLE.sub(_escaped, text)


def storable(text: str) -> str:
    """The text with U+FFFD for each character that YAML cannot hold; the rest as it is."""
    return _NOT_YAML.sub("\ufffd", text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
