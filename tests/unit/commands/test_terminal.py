"""What reaches a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.app.commands.terminal import TerminalText, clean, one_line, tell

HOSTILE = {
    "title": "\x1b]0;title\x07",
    "clipboard": "\x1b]52;c;ZXZpbA==\x1b\\",
    "clear the screen": "\x1b[2J",
    "move up": "\x1b[5A",
    "one byte introducer": "\x9b2J",
    "answer back": "\x1b[6n",
    "other charset": "\x1b(0",
    "bell, NUL, DEL": "\x07\x00\x7f",
    "other order": "\u202egnp.exe",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_hostile_sequence_stays(name: str) -> None:
    for shown in (clean(HOSTILE[name]), TerminalText().feed(HOSTILE[name].encode()).decode()):
        assert not any(one in shown for one in "\x1b\x07\x00\x7f\x9b\u202e")
        assert "\\" in shown, "what was taken out is shown to have been there"


@pytest.mark.parametrize(
    "text", ["grüße ✓ 日本\n\tmore", "\x1b[1;31mred\x1b[0m", "10 %\r20 %\x1b[K", "ab\x08c", "👩‍🚀"]
)
def test_text_colours_and_progress_pass(text: str) -> None:
    terminal = TerminalText()
    assert terminal.feed(text.encode()) + terminal.end() == text.encode()


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_how_output_is_cut_into_pieces_changes_nothing(pieces: list[bytes]) -> None:
    whole, parts = TerminalText(), TerminalText()
    want = whole.feed(b"".join(pieces)) + whole.end()
    assert b"".join([*map(parts.feed, pieces), parts.end()]) == want


@pytest.mark.parametrize("cut", range(1, 9))
def test_sequence_in_two_pieces_is_one(cut: int) -> None:
    raw = "\x1b[1;31mü".encode()
    terminal = TerminalText()
    assert terminal.feed(raw[:cut]) + terminal.feed(raw[cut:]) + terminal.end() == raw


def test_own_lines_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    tell("it failed: \x1b[31mEVIL\x1b[0m\x07")
    assert capsys.readouterr().err == "soulbox: it failed: \\x1b[31mEVIL\\x1b[0m\\x07\n"
    assert one_line("a\n b\r\n\x1bc") == "a b \\x1bc"
