"""What a SandboxClass says of itself, and that it says it once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soulbox.kinds.sandbox_class.decide.status import SeenClass, class_status
from soulbox.model.errors import InvalidManifest
from tests.support.fix_clock import NOW, at
from tests.support.seen import make_class_spec

READY = SeenClass(
    name="python",
    generation=3,
    status={},
    spec=make_class_spec(),
    has_runtime_class=True,
    sandboxes=2,
)
MALFORMED = InvalidManifest("spec.defaults.cpu", "is more than spec.max.cpu", "lower it")
CASES: dict[str, tuple[SeenClass, str, str, dict[str, str]]] = {
    "one that is whole": (READY, "Ready", "can be made of it", {"Ready": "True"}),
    "a malformed one": (
        replace(READY, spec=MALFORMED),
        "InvalidSpec",
        "spec.defaults.cpu: is more than spec.max.cpu",
        {"Ready": "False", "Stalled": "True"},
    ),
    "one whose RuntimeClass is missing": (
        replace(READY, spec=make_class_spec(runtime_class_name="gvisor"), has_runtime_class=False),
        "RuntimeClassNotFound",
        'there is no RuntimeClass "gvisor"',
        {"Ready": "False", "Stalled": "True"},
    ),
}


def written(seen: SeenClass) -> dict[str, Any]:
    """The status that is to be written."""
    status = class_status(seen, NOW)
    assert status is not None
    return status


@pytest.mark.parametrize("name", CASES)
def test_status_of(name: str) -> None:
    seen, want_reason, want_words, want_conditions = CASES[name]
    status = written(seen)
    assert (status["reason"], status["sandboxes"], status["observedGeneration"]) == (
        want_reason,
        2,
        3,
    )
    assert want_words in status["message"]
    assert {one["type"]: one["status"] for one in status["conditions"]} == want_conditions


@pytest.mark.parametrize("name", CASES)
def test_it_is_written_once(name: str) -> None:
    seen = CASES[name][0]
    said = replace(seen, status=written(seen))
    assert class_status(said, at(60)) is None
    for change in ({"sandboxes": 3}, {"sandboxes": None}, {"generation": 4}):
        assert class_status(replace(said, **change), at(60)) is not None  # type: ignore[arg-type]
