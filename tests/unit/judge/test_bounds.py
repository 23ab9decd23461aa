"""Inside of the process: what it keeps is bounded, and it says when it should be replaced."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from soulbox.judge import limits, serve
from soulbox.judge.expressions import Expressions
from soulbox.judge.schemas import Schemas
from soulbox.judge.verdicts import Outcome


def about(subject: str, **more: Any) -> dict[str, Any]:
    """A header."""
    return {"key": subject, "field": "f", "name": "n", "check": False, "object": False} | more


def test_compiled_schemas_are_kept_for_the_next_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CACHE_ENTRIES", 2)
    schemas = Schemas()

    def judge(key: str, text: bytes) -> str:
        outcome: str = schemas.judge(about(key), text, b"1")["outcome"]
        return outcome

    assert judge("a", b'{"type":"integer"}') is Outcome.GOOD
    assert judge("b", b"true") is Outcome.GOOD
    # Found by its key: the text is not read again.
    assert judge("a", b"not JSON") is Outcome.GOOD
    assert judge("c", b"true") is Outcome.GOOD
    # "b" was used longest ago, and had to go.
    assert judge("b", b"not JSON") is Outcome.REFUSED
    assert judge("a", b"not JSON") is Outcome.GOOD
    # What is only checked is not kept: nobody may ever use it.
    assert schemas.judge(about("d", check=True), b"true", b"1")["outcome"] is Outcome.GOOD
    assert judge("d", b"not JSON") is Outcome.REFUSED


def test_compiled_expressions_are_bounded_and_their_variables_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CACHE_ENTRIES", 2)
    expressions = Expressions()
    for text in (b"x > 1", b"x > 2", b"x > 3"):
        for kind in ("int", "dyn"):
            header = about("", variables={"x": kind}, result="bool")
            assert expressions.judge(header, text, b'{"x":2}')["outcome"] is Outcome.GOOD
    assert len(expressions._compiled) == len(expressions._environments) == 2
    refused = about("", variables={"x": "string"}, result="bool")
    assert expressions.judge(refused, b"x > 3", b'{"x":"a"}')["outcome"] is Outcome.REFUSED


def test_nothing_is_fetched_even_where_it_could_be(tmp_path: Path) -> None:
    # Here are descriptors enough: it is the library that must not try.
    schemas = Schemas()
    (tmp_path / "schema.json").write_text("true")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        for uri in (f"http://127.0.0.1:{port}/", (tmp_path / "schema.json").as_uri()):
            text = b'{"$ref":"%s"}' % uri.encode()
            answer = schemas.judge(about(uri, check=True), text, b"{}")
            assert answer["outcome"] is Outcome.REFUSED
        with pytest.raises(BlockingIOError):
            server.accept()


def test_process_asks_to_be_replaced_for_memory_and_for_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        monkeypatch.setattr(limits, "SPENT_BYTES", 1 << 50)
        monkeypatch.setattr(limits, "SPENT_CPU_SECONDS", 1e9)
        assert not serve._spent(size)
        monkeypatch.setattr(limits, "SPENT_BYTES", 1 << 20)
        assert serve._spent(size)
        monkeypatch.setattr(limits, "SPENT_BYTES", 1 << 50)
        monkeypatch.setattr(limits, "SPENT_CPU_SECONDS", 0.0)
        assert serve._spent(size)
    finally:
        os.close(size)
