"""Objects kept as JSON read the same as they were put."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kube import packed
from soulbox.kube.packed import PackedObjects, pack

OBJECTS: dict[str, Any] = {
    "plain": {"metadata": {"uid": "u", "name": "é"}, "spec": {"n": 1, "b": True, "none": None}},
    "lone surrogate": {"metadata": {"uid": "u"}, "spec": {"code": "a\ud800b"}},
    "number beyond 64 bits": {"metadata": {"uid": "u"}, "spec": {"n": 2**70}},
}


@pytest.fixture(autouse=True)
def few_are_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_HOT", 2)


@pytest.mark.parametrize("name", OBJECTS)
def test_reads_as_it_was_put_hot_and_cold(name: str) -> None:
    objects = PackedObjects()
    objects["u"] = OBJECTS[name]
    assert objects.get("u") == OBJECTS[name]
    for other in ("a", "b", "c"):
        objects[other] = {"metadata": {"uid": other}}
    assert objects.get("u") == OBJECTS[name]
    assert objects["u"] == OBJECTS[name]
    assert objects.pop("u", None) == OBJECTS[name]
    assert objects.get("u") is None


def test_newest_wins_wherever_the_old_one_is() -> None:
    objects = PackedObjects()
    for version in range(3):
        objects["u"] = {"v": version}
        for other in ("a", "b", "c"):
            objects[other] = {"v": version}
        assert objects.get("u") == {"v": version}
    assert len(objects) == 4
    assert [value["v"] for value in objects.values()] == [2, 2, 2, 2]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9), st.booleans())))
def test_is_a_mapping_whatever_is_done(steps: list[tuple[str, int, bool]]) -> None:
    objects, model = PackedObjects(), dict[str, Any]()
    for uid, number, put in steps:
        if put:
            objects[uid] = model[uid] = {"n": number}
        else:
            assert objects.pop(uid, None) == model.pop(uid, None)
        assert {key: objects.get(key) for key in "abcdef"} == {
            key: model.get(key) for key in "abcdef"
        }
        assert len(objects) == len(model)
        assert list(objects.values()) == list(model.values())
        assert all((key in objects) == (key in model) for key in "abcdef")


@pytest.mark.parametrize("name", OBJECTS)
def test_one_that_is_kept_reads_as_it_was_whatever_was_looked_at_between(name: str) -> None:
    kept, other = pack(OBJECTS[name]), pack({"metadata": {"uid": "other"}})
    for _ in range(2):
        assert kept["metadata"]["uid"] == "u"
        assert other.get("spec") is None
        assert dict(kept) == OBJECTS[name]
        assert (len(kept), len(other)) == (2, 1)
    with pytest.raises(KeyError):
        kept["status"]


def test_those_that_are_kept_do_not_change_with_the_objects() -> None:
    objects = PackedObjects()
    for name, manifest in OBJECTS.items():
        objects[name] = manifest
    kept = list(objects.packed())
    for name in OBJECTS:
        objects[name] = {"v": 2}
    assert [dict(one) for one in kept] == list(OBJECTS.values())
