"""What is kept of an object that cannot be written can itself be written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror.items import ItemBuilder, bare_letter, dead_letter
from soulbox.mirror.pending import Sighting, sighting_of
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext, RowError
from tests.support.make_mirrored import CLUSTER_UID, make_execution, make_pod, merge

CONTEXT = RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: namespace)
BUILDER = ItemBuilder(ENTRIES, CONTEXT)


def seen(kind: Kind, manifest: dict[str, Any]) -> Sighting:
    found = sighting_of(
        kind,
        manifest,
        deleted=False,
        seen_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        waiting_since=0.0,
    )
    assert found is not None
    return found


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"in": inner}
    return inner


def test_every_text_of_a_letter_can_be_stored() -> None:
    odd = make_execution(
        metadata={"namespace": "a\x00b", "name": "n\x00", "resourceVersion": "\ud800"}
    )
    letter = dead_letter(seen(Kind.EXECUTION, odd), RowError("x\x00\ud800"), CONTEXT)
    texts = [value for value in vars_of(letter).values() if isinstance(value, str)]
    assert [text for text in texts if "\x00" in text or "\ud800" in text] == []
    assert (letter.namespace, letter.tenant) == ("a\ufffdb", "a\ufffdb")


def test_object_nested_too_deeply_is_a_row_error_and_its_letter_says_so() -> None:
    deep = make_execution(status={"state": "Failed", "error": nested(30_000)})
    with pytest.raises(RowError, match="RecursionError"):
        BUILDER.build(seen(Kind.EXECUTION, deep))
    letter = dead_letter(seen(Kind.EXECUTION, deep), RowError("malformed"), CONTEXT)
    assert json.loads(letter.payload) == "nested too deeply to be kept"


def test_letter_of_an_unforeseen_error_quotes_nothing_of_it() -> None:
    letter = dead_letter(seen(Kind.POD, make_pod()), KeyError("SECRET"), CONTEXT)
    assert letter.error == "a defect: KeyError"


def test_bare_letter_still_names_the_object() -> None:
    pod = make_pod()
    letter = bare_letter(dead_letter(seen(Kind.POD, pod), RowError("x"), CONTEXT))
    assert json.loads(letter.payload)["metadata"]["uid"] == pod["metadata"]["uid"]


def test_builder_that_overflows_is_a_row_error() -> None:
    first = merge(
        make_pod(started="2026-11-22T10:00:00Z"),
        {"metadata": {"creationTimestamp": "0001-01-01T00:00:00Z"}},
    )
    with pytest.raises(RowError, match="OverflowError"):
        BUILDER.build(seen(Kind.POD, first))


def vars_of(letter: Any) -> dict[str, Any]:
    return {name: getattr(letter, name) for name in type(letter).__dataclass_fields__}
