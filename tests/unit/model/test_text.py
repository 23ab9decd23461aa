"""What is written out for people, and what YAML takes."""

from __future__ import annotations

import unicodedata

import yaml
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.text import printable, storable


def test_words_in_any_script_are_left_as_they_are() -> None:
    words = "Größe: 5 µs, 日本語, عربى, עברית, 👩‍💻\n\tindented"
    assert printable(words) == words
    assert storable(words) == words


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Cn", "Zl", "Zp"])))
def test_only_tab_and_line_feed_are_left_of_control_characters(text: str) -> None:
    left = {character for character in printable(text) if unicodedata.category(character) == "Cc"}
    assert left <= {"\n", "\t"}
    printable(text).encode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_yaml_takes_what_is_storable(text: str) -> None:
    """Characters below U+0020 are escaped by JSON, which is what kubectl makes YAML of."""
    stored = storable(text)
    shown = "".join(character for character in stored if character >= " ")
    yaml.reader.Reader(shown.replace("\ufeff", ""))
    assert len(stored) == len(text)
