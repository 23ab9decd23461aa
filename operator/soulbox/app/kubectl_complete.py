"""`kubectl_complete-soulbox`: what kubectl asks for completions of its plugin.

It answers as cobra's own commands do: one word a line, then a line with a directive.
"""

import contextlib
import io
import os
import shlex
import sys

# ShellCompDirectiveNoFileComp of cobra: offer no files where we offer nothing.
_NO_FILES = ":4"
_FILES = ":0"


def main() -> None:
    """Entry point of `kubectl_complete-soulbox`: the words so far come as arguments, the last
    being the one to complete."""
    from soulbox.app.cli import app  # noqa: PLC0415

    words = ["soulbox", *(sys.argv[1:] or [""])]
    # What Typer's own completion script for bash would ask.
    os.environ |= {
        "_SOULBOX_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(words[:-1]) + f" {words[-1]}",
        "COMP_CWORD": str(len(words) - 1),
    }
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        app(prog_name="soulbox")
    words = said.getvalue().split()
    print("\n".join([*words, _NO_FILES if words else _FILES]))
