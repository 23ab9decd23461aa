"""What may reach a terminal: our own lines without control characters, a program's output with
colours and no more. Both may hold what a stranger wrote; an escape sequence of theirs could set
the title, write to the clipboard, or hide what stands above
(docs/decisions/0078-output-on-a-terminal.md).
"""

import codecs
import re
import sys
from typing import Final

from soulbox.model.text import printable

# What a program may do to a terminal: colours, and going back in its own line, as progress bars do.
_HARMLESS: Final = re.compile(r"\x1b\[[0-9;:]{0,64}m|\x1b\[[0-2]?K|[\r\x08]")
# The beginning of something harmless that the next piece may go on with.
_UNFINISHED: Final = re.compile(r"\x1b(\[[0-9;:]{0,64})?\Z")


def clean(text: str) -> str:
    """The text with what a terminal acts on written out; newlines and tabs stay."""
    return printable(text)


def one_line(text: str) -> str:
    """`clean`, in one line."""
    return clean(" ".join(text.split()))


def tell(text: str) -> None:
    """A line of ours on stderr."""
    print(f"soulbox: {clean(text)}", file=sys.stderr, flush=True)


class TerminalText:
    """A stream of a program's bytes as a terminal may have them, piece by piece: a character or
    sequence that two pieces share is kept back until the second comes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept = ""

    def feed(self, content: bytes) -> bytes:
        """What can be shown by now."""
        text = self._kept + self._decoder.decode(content)
        cut = _UNFINISHED.search(text)
        self._kept = "" if cut is None else cut.group()
        return _show(text[: len(text) - len(self._kept)])

    def end(self) -> bytes:
        """What was kept back."""
        text, self._kept = self._kept + self._decoder.decode(b"", final=True), ""
        return _show(text)


def _show(text: str) -> bytes:
    shown, at = [], 0
    for harmless in _HARMLESS.finditer(text):
        shown += [clean(text[at : harmless.start()]), harmless.group()]
        at = harmless.end()
    shown.append(clean(text[at:]))
    return "".join(shown).encode()
