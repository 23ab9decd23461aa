"""Which version a Function's spec is: tables, and what must hold whatever is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.function.decide.content import (
    build_revision,
    code_of,
    content_sha256,
    revision_name,
)
from soulbox.kinds.function.decide.objection import Objection, to_content, to_version
from soulbox.kinds.function.decide.published import (
    MAX_WITHDRAWN,
    Published,
    Withdrawn,
    counted,
    published_of,
)
from soulbox.kinds.function.decide.seen import SeenFunction
from soulbox.kinds.function.decide.status import report
from soulbox.kinds.function.decide.versions import (
    Conflict,
    Current,
    New,
    find_version,
    remembered,
    to_withdraw,
    with_new,
    without,
)
from soulbox.kinds.function.spec import parse_function, parse_revision
from soulbox.model.errors import InvalidManifest
from soulbox.model.functions import FunctionSpec, Tool
from soulbox.model.specs import CodeFrom, CodeMissing, CodeSource, FileEncoding
from soulbox.model.states import FunctionReason, FunctionState
from soulbox.pure.actions import PostEvent, WriteStatus
from tests.support.builders import make_function, stored
from tests.support.fix_clock import NOW
from tests.support.seen import FUNCTION_UID, make_seen_function

CODE = code_of("def main(input): return input")


def name_of(version: str, content: str) -> str:
    return revision_name("resize", FUNCTION_UID, version, content)


def published(version: str, content: str) -> Published:
    return Published(version=version, revision=name_of(version, content))


OLD = (published("2", "b"), published("1", "a"))
OWN = (published("1.1.0", "b"), published("1.0.0", "a"))
GONE = (Withdrawn(version="1", revision=name_of("1", "a"), time=""),)
# What is written, what is published, and which version it is.
VERSIONS: dict[str, tuple[SeenFunction, str | None, Current | New | Conflict]] = {
    "the first is 1": (make_seen_function("a"), None, New("1", name_of("1", "a"))),
    "the same content is what it was": (
        make_seen_function("b", versions=OLD, published=2),
        None,
        Current(OLD[0]),
    ),
    "an older content is rolled back to": (
        make_seen_function("a", versions=OLD, published=2),
        None,
        Current(OLD[1]),
    ),
    "another content is counted on": (
        make_seen_function("c", versions=OLD, published=2),
        None,
        New("3", name_of("3", "c")),
    ),
    "numbers that were given are not given again": (
        make_seen_function("c", versions=(OLD[1],), published=7),
        None,
        New("8", name_of("8", "c")),
    ),
    "a withdrawn content gets its number back": (
        make_seen_function("a", versions=(OLD[0],), withdrawn=GONE, published=2),
        None,
        New("1", name_of("1", "a")),
    ),
    "the owner's versions are not counted versions": (
        make_seen_function("a", versions=OWN, published=2),
        None,
        New("3", name_of("3", "a")),
    ),
    "a version of the owner's": (
        make_seen_function("a"),
        "1.0.0",
        New("1.0.0", name_of("1.0.0", "a")),
    ),
    "an older version of the owner's": (
        make_seen_function("a", versions=OWN, published=2),
        "1.0.0",
        Current(OWN[1]),
    ),
    "a version with another content": (
        make_seen_function("c", versions=OWN, published=2),
        "1.0.0",
        Conflict("1.0.0", is_withdrawn=False),
    ),
    "another version with the same content": (
        make_seen_function("a", versions=OWN, published=2),
        "1.2.0",
        New("1.2.0", name_of("1.2.0", "a")),
    ),
    "a withdrawn version with another content": (
        make_seen_function(
            "c",
            withdrawn=(Withdrawn(version="1.0.0", revision=name_of("1.0.0", "a"), time=""),),
        ),
        "1.0.0",
        Conflict("1.0.0", is_withdrawn=True),
    ),
    "a withdrawn version as it was": (
        make_seen_function(
            "a",
            withdrawn=(Withdrawn(version="1.0.0", revision=name_of("1.0.0", "a"), time=""),),
        ),
        "1.0.0",
        New("1.0.0", name_of("1.0.0", "a")),
    ),
}


@pytest.mark.parametrize(("seen", "version", "want"), VERSIONS.values(), ids=VERSIONS.keys())
def test_version(seen: SeenFunction, version: str | None, want: Current | New | Conflict) -> None:
    assert isinstance(seen.spec, FunctionSpec)
    assert find_version(seen, replace(seen.spec, version=version)) == want


WRITTEN = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from([None, "1.0.0", "1.1.0"]), st.integers(0, 3)
    ),
    max_size=12,
)


@given(WRITTEN)
def test_no_version_ever_has_two_contents_and_what_is_callable_is_what_it_was(
    written: list[tuple[str, str | None, int]],
) -> None:
    """Whatever is written one after the other, as the reconciler goes about it."""
    versions: tuple[Published, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()
    count = 0
    contents: dict[str, str] = {}
    for content, version, limit in written:
        seen = make_seen_function(content, versions=versions, withdrawn=withdrawn, published=count)
        assert isinstance(seen.spec, FunctionSpec)
        found = find_version(seen, replace(seen.spec, version=version))
        if isinstance(found, Conflict):
            assert contents[found.version] != content
            continue
        if isinstance(found, New):
            assert contents.setdefault(found.version, content) == content
            count += 1
            entry = Published(version=found.version, revision=found.revision)
            versions = with_new(versions, entry)
        else:
            entry = found.entry
            assert contents[entry.version] == content
        gone = to_withdraw(versions, entry, limit, frozenset())
        withdrawn = remembered(withdrawn, without(versions, gone), gone, "t", MAX_WITHDRAWN)
        versions = without(versions, gone)
        assert entry in versions
        assert len(versions) <= limit + 1
        names = [one.version for one in (*versions, *withdrawn)]
        assert len(names) == len(set(names))
        assert set(names) == contents.keys()


def test_old_versions_are_withdrawn_but_for_those_that_run() -> None:
    versions = tuple(published(str(number), "a") for number in (5, 4, 3, 2, 1))
    current = versions[3]
    in_use = frozenset({versions[4].revision})
    gone = to_withdraw(versions, current, 1, in_use)
    assert [one.version for one in gone] == ["4", "3"]


def test_only_so_many_withdrawn_versions_are_remembered() -> None:
    before = tuple(Withdrawn(version=str(n), revision="r", time="") for n in range(40))
    gone = (published("99", "a"),)
    found = remembered(before, (), gone, "now", 10)
    assert [one.version for one in found] == ["99", *map(str, range(9))]


def test_versions_are_counted_on_when_the_status_is_lost() -> None:
    held = (replace(published("1.0.0", "a"), ordinal=4), published("3", "b"))
    assert counted({}, held) == 4
    assert counted({"published": 9}, held) == 9
    assert counted({"published": True}, ()) in (0, 1)


@pytest.mark.parametrize("entry", ["x", {}, {"version": 1, "revision": "r"}, {"version": "1"}])
def test_entries_of_a_status_that_make_no_sense_are_left_out(entry: Any) -> None:
    whole = {"version": "2", "revision": "r", "publishedTime": "t"}
    (found,) = published_of({"versions": [entry, whole]})
    assert (found.version, found.time) == ("2", "t")
    assert published_of({"versions": "x"}) == ()


CONTENT: dict[str, tuple[dict[str, Any], bool]] = {
    "code": ({"code": "print(2)"}, True),
    "handler": ({"handler": "other"}, True),
    "a file": ({"files": [{"path": "a", "content": "x"}]}, True),
    "a variable": ({"env": [{"name": "A", "value": "1"}]}, True),
    "time-out": ({"timeoutSeconds": 60}, True),
    "schema of the input": ({"inputSchema": {"type": "object"}}, True),
    "schema of the result": ({"outputSchema": {"type": "object"}}, True),
    "class": ({"className": "node"}, True),
    "description": ({"description": "Resizes."}, False),
    "tool": ({"tool": {"title": "Resize"}}, False),
    "scale": ({"scale": {"max": 4}}, False),
    "suspend": ({"suspend": True}, False),
    "user": ({"user": "ada"}, False),
    "an empty list": ({"files": []}, False),
    "nothing asked for": ({"resources": {}}, False),
}


@pytest.mark.parametrize(("change", "is_new"), CONTENT.values(), ids=CONTENT.keys())
def test_content_is_what_runs(change: dict[str, Any], is_new: bool) -> None:
    def content(spec: dict[str, Any]) -> str:
        return content_sha256(spec, code_of(spec["code"]).sha256)

    before = make_function()["spec"]
    assert (content({**before, **change}) != content(before)) is is_new


def test_code_is_the_same_wherever_it_lies_but_for_a_secret() -> None:
    key = {"name": "code", "key": "main.py"}
    spec = {"className": "python"}
    inline = content_sha256({**spec, "code": "x"}, CODE.sha256)
    assert content_sha256({**spec, "codeFrom": {"configMapKeyRef": key}}, CODE.sha256) == inline
    secret = {**spec, "codeFrom": {"secretKeyRef": key}}
    assert content_sha256(secret, CODE.sha256) != inline


FULL = make_function(
    version="1.2.0",
    inputSchema={"type": "object", "properties": {"a": {"default": None}}},
    description="Resizes.",
    tool={"title": "Resize", "tags": ["image"]},
    env=[{"name": "A", "value": "1"}],
    user="ada",
    suspend=True,
    scale={"max": 3},
    deprecated="use resize2",
)


def revision_of(manifest: dict[str, Any], text: str, encoding: FileEncoding) -> dict[str, Any]:
    code = code_of(text, encoding, secret="secretKeyRef" in manifest["spec"].get("codeFrom", {}))
    content = content_sha256(manifest["spec"], code.sha256)
    return build_revision(manifest, version="1.2.0", ordinal=7, code=code, content=content)


def test_revision_is_read_as_it_was_published_without_what_is_asked_of_the_function() -> None:
    manifest = stored(FULL)
    made = revision_of(manifest, FULL["spec"]["code"], FileEncoding.UTF8)
    assert not made["data"]["spec"].keys() & {"user", "suspend", "scale", "deprecated"}
    found = parse_revision(made)
    spec = parse_function(manifest)
    assert (found.version, found.function_uid) == ("1.2.0", manifest["metadata"]["uid"])
    assert (found.function_name, found.namespace) == ("resize", "default")
    assert found.spec == replace(
        spec, user=None, suspend=False, scale=FunctionSpec().scale, deprecated=None
    )
    assert found.spec.tool == Tool(title="Resize", tags=("image",))
    assert len(made["metadata"]["name"]) <= 63 + 11


def test_bytes_of_a_config_map_may_be_longer_as_base64_than_code_may_be() -> None:
    text = "QUFB" * 87_000
    manifest = stored(
        make_function(code=None, codeFrom={"configMapKeyRef": {"name": "c", "key": "k"}})
    )
    found = parse_revision(revision_of(manifest, text, FileEncoding.BASE64))
    assert (found.spec.code, found.code_encoding) == (text, FileEncoding.BASE64)
    assert found.spec.code_from is None


def test_code_of_a_secret_is_not_copied() -> None:
    manifest = stored(
        make_function(code=None, codeFrom={"secretKeyRef": {"name": "c", "key": "k"}})
    )
    made = revision_of(manifest, "aGlkZGVuIHdvcmRz", FileEncoding.BASE64)
    assert "aGlkZGVu" not in str(made)
    found = parse_revision(made)
    assert found.spec.code is None
    assert found.spec.code_from == CodeFrom(source=CodeSource.SECRET, name="c", key="k")


FORGED: dict[str, dict[str, Any]] = {
    "other code": {"data": {"code": "import os"}},
    "another version": {"data": {"version": "1.3.0"}},
    "another owner": {"metadata": {"ownerReferences": [{
        "apiVersion": "soulbox.dev/v1alpha1", "kind": "Function", "name": "resize",
        "uid": "another", "controller": True,
    }]}},
    "no owner": {"metadata": {"ownerReferences": []}},
    "an owner that is no controller": {"metadata": {"ownerReferences": [{
        "apiVersion": "soulbox.dev/v1alpha1", "kind": "Function", "name": "resize", "uid": "u",
    }]}},
    "no code": {"data": {"code": None, "codeSHA256": None}},
    "an encoding that is none": {"data": {"codeEncoding": "rot13"}},
    "code that is no text": {"data": {"code": 7}},
    "a spec that is none": {"data": {"spec": "x"}},
    "other variables": {"data": {"spec": {"env": []}}},
}  # fmt: skip


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_revision_that_somebody_else_made_is_found_out(change: dict[str, Any]) -> None:
    made = revision_of(stored(FULL), FULL["spec"]["code"], FileEncoding.UTF8)
    for part, fields in change.items():
        made[part] = {**made[part], **fields}
    with pytest.raises(InvalidManifest, match="no version of a Function"):
        parse_revision(made)
    with pytest.raises(InvalidManifest):
        parse_revision({**made, "data": None})


OBJECTIONS: dict[str, tuple[SeenFunction, FunctionReason, str]] = {
    "a spec that is none": (
        make_seen_function(spec=InvalidManifest("spec.code", "is gone", "write it")),
        FunctionReason.INVALID_SPEC,
        "spec.code: is gone; write it",
    ),
    "code that is not there": (
        make_seen_function(code=CodeMissing(message="spec.codeFrom: no.")),
        FunctionReason.CODE_MISSING,
        "spec.codeFrom: no.",
    ),
    "a class that is not there": (
        make_seen_function(has_class=False),
        FunctionReason.CLASS_NOT_FOUND,
        'SandboxClass "python" does not exist',
    ),
    "what the class does not allow": (
        make_seen_function(class_objection="spec.network: no."),
        FunctionReason.INVALID_SPEC,
        "spec.network: no.",
    ),
}


@pytest.mark.parametrize(("seen", "reason", "words"), OBJECTIONS.values(), ids=OBJECTIONS.keys())
def test_objection(seen: SeenFunction, reason: FunctionReason, words: str) -> None:
    found = to_content(seen)
    if found is None:
        assert isinstance(seen.spec, FunctionSpec)
        found = to_version(seen, seen.spec, find_version(seen, seen.spec))
    assert found is not None
    assert found.reason is reason
    assert words in found.message


def test_conflict_names_where_the_code_lies() -> None:
    spec = FunctionSpec(
        version="1.0.0",
        code_from=CodeFrom(source=CodeSource.SECRET, name="code", key="k"),
    )
    found = to_version(make_seen_function(), spec, Conflict("1.0.0", is_withdrawn=True))
    assert found is not None
    assert found.message == (
        'spec.version 1.0.0 is taken: the code in Secret "code", or what else runs, is not what'
        " was published under it and has been withdrawn since. Raise it, or leave it out and"
        " versions are counted; the published version can be called once the Secret holds its"
        " code again."
    )


def told(seen: SeenFunction, **changes: Any) -> tuple[WriteStatus | PostEvent, ...]:
    arguments: dict[str, Any] = {
        "current": None,
        "versions": seen.versions,
        "withdrawn": (),
        "published": seen.published,
        "objection": None,
        "now": NOW,
    }
    return report(seen, **arguments | changes)


def test_status_that_says_all_is_not_written_again() -> None:
    entry = published("1", "a")
    seen = make_seen_function(versions=(entry,), published=1)
    write, event = told(seen, current=entry)
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (event.type, event.reason) == ("Normal", "Published")
    status = {key: value for key, value in write.status.items() if value is not None}
    assert told(replace(seen, status=status), current=entry) == ()


def test_objection_leaves_the_version_before_current() -> None:
    before = published("1", "a")
    seen = make_seen_function(
        versions=(before,), published=1, status={"version": "1", "toolID": "tool:acme/resize@1"}
    )
    objection = Objection(reason=FunctionReason.SCHEMA_INVALID, message="Bad.")
    write, event = told(seen, objection=objection)
    assert isinstance(write, WriteStatus)
    status = write.status
    assert (status["state"], status["reason"]) == (FunctionState.ERROR, "SchemaInvalid")
    assert status["message"] == "Bad. Version 1 is still called."
    assert (status["version"], status["toolID"]) == ("1", "tool:acme/resize@1")
    assert isinstance(event, PostEvent)
    assert event.type == "Warning"


def test_function_that_is_no_tool_any_more_loses_its_id() -> None:
    entry = published("1", "a")
    seen = make_seen_function(
        versions=(entry,), published=1, status={"toolID": "tool:acme/resize@1"}
    )
    write, *_ = told(seen, current=entry)
    assert isinstance(write, WriteStatus)
    assert write.status["toolID"] is None
