"""A program's output on our own stdout and stderr."""

import asyncio
import os
import sys
from typing import Literal

from soulbox.app.commands.terminal import TerminalText

Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, ...] = ("stdout", "stderr")


class Outlet:
    """Writes bytes as they are; to a terminal without what could take it over, unless `raw`.

    Args:
        stdout_to: where the program's stdout goes.
    """

    def __init__(self, *, raw: bool = False, stdout_to: Stream = "stdout") -> None:
        self._places: dict[Stream, Stream] = {"stdout": stdout_to, "stderr": "stderr"}
        self._terminals = {
            stream: TerminalText()
            for stream in STREAMS
            if not raw and os.isatty(_descriptor(self._places[stream]))
        }

    async def write(self, stream: Stream, content: bytes) -> None:
        """Show it; a slow reader holds up nothing but this stream.

        Raises:
            BrokenPipeError: the reader is gone.
        """
        terminal = self._terminals.get(stream)
        shown = content if terminal is None else terminal.feed(content)
        await asyncio.to_thread(_write_all, _descriptor(self._places[stream]), shown)

    async def end(self) -> None:
        """Show what was kept back as the beginning of something. Raises as `write`."""
        for stream, terminal in self._terminals.items():
            await asyncio.to_thread(_write_all, _descriptor(self._places[stream]), terminal.end())


def _descriptor(stream: Stream) -> int:
    return (sys.stdout if stream == "stdout" else sys.stderr).fileno()


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
