"""Functions on a real API server: published, changed, rolled back, withdrawn, refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.builders import make_function
from tests.support.fix_kube import KubectlError
from tests.support.waiting import Manifest, World
from tests.unit.judge.hostile import doubling

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CODE = "def main(input):\n    return {'sum': %s}\n"
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
TOOL = {"title": "Add", "category": "maths", "tags": ["sum"], "type": "code"}


def settled(world: World, name: str, reason: str, **status: Any) -> Manifest:
    """A Function's status once the operator has looked at its newest spec."""

    def done(found: Manifest) -> bool:
        told = found.get("status", {})
        return (
            told.get("observedGeneration") == found["metadata"]["generation"]
            and told.get("reason") == reason
            and all(told.get(field) == value for field, value in status.items())
        )

    return world.wait("function", name, done, f"{reason} {status}")["status"]


def revisions(world: World, function: str) -> dict[str, Manifest]:
    """ControllerRevisions of a Function by version."""
    return {
        one["metadata"]["labels"]["soulbox.dev/version"]: one
        for one in world.list("controllerrevisions")
        if one["metadata"]["labels"].get("soulbox.dev/function") == function
    }


def versions_in_sql(world: World, function: Manifest, want: dict[str, str]) -> None:
    """Until PostgreSQL has these versions, and what each of them is."""
    world.wait_rows(
        "select version, case when is_current then 'current' when withdrawn_at is null"
        " then 'callable' else 'withdrawn' end as is from soulbox.function_versions"
        " where function_uid = %(uid)s",
        lambda found: {row["version"]: row["is"] for row in found} == want,
        uid=function["metadata"]["uid"],
    )


def change(world: World, name: str, **spec: Any) -> None:
    world.patch("function", name, {"spec": spec})


def test_versions_are_counted_rolled_back_and_withdrawn(world: World) -> None:
    made = world.create(make_function("add", code=CODE % 1, revisionHistoryLimit=1))
    first = settled(world, "add", "Published", version="1")
    assert (first["state"], first["published"]) == ("Ready", 1)
    assert {c["type"]: c["status"] for c in first["conditions"]} == {"Ready": "True"}
    assert "toolID" not in first

    versions_in_sql(world, made, {"1": "current"})
    change(world, "add", code=CODE % 2)
    second = settled(world, "add", "Published", version="2")
    assert [one["version"] for one in second["versions"]] == ["2", "1"]
    held = revisions(world, "add")
    assert held.keys() == {"1", "2"}
    assert held["2"]["metadata"]["name"] == second["revision"]
    assert held["2"]["data"]["code"] == CODE % 2
    versions_in_sql(world, made, {"1": "callable", "2": "current"})
    (owner,) = held["2"]["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (made["metadata"]["uid"], True)

    # The same content again: that version serves again, and nothing is published.
    change(world, "add", code=CODE % 1)
    back = settled(world, "add", "Published", version="1")
    assert (back["revision"], back["published"]) == (first["revision"], 2)
    assert revisions(world, "add").keys() == {"1", "2"}

    # What is said about it is no new version; the next change is counted on from the last.
    change(world, "add", description="Adds.", tool=TOOL)
    told = settled(world, "add", "Published", version="1")
    assert told["toolID"] == f"tool:{world.namespace}/add@1"
    change(world, "add", code=CODE % 3)
    third = settled(world, "add", "Published", version="3")
    assert [one["version"] for one in third["versions"]] == ["3", "2"]
    assert [one["version"] for one in third["withdrawn"]] == ["1"]
    assert revisions(world, "add").keys() == {"3", "2"}

    change(world, "add", suspend=True)
    suspended = settled(world, "add", "Suspended")
    assert (suspended["state"], suspended["version"]) == ("Suspended", "3")
    assert suspended["conditions"] == []
    change(world, "add", suspend=False)
    settled(world, "add", "Published")

    versions_in_sql(world, made, {"1": "withdrawn", "2": "callable", "3": "current"})
    (tool,) = world.rows(
        "select tool_id from soulbox.function_versions where is_current and function_uid = %(uid)s",
        uid=made["metadata"]["uid"],
    )
    assert tool["tool_id"] == f"tool:{world.namespace}/add@3"

    world.delete("function", "add")
    world.wait_gone("function", "add")
    world.wait_rows(
        "select 1 from soulbox.functions where uid = %(uid)s and deleted_at is not null",
        uid=made["metadata"]["uid"],
    )


def test_versions_of_the_owner_cannot_be_given_to_another_content(world: World) -> None:
    world.create(make_function("owned", code=CODE % 1, version="1.0.0", inputSchema=SCHEMA))
    first = settled(world, "owned", "Published", version="1.0.0")
    with pytest.raises(KubectlError, match=r"spec\.version is still 1\.0\.0"):
        change(world, "owned", code=CODE % 2)
    change(world, "owned", code=CODE % 2, version="1.1.0")
    settled(world, "owned", "Published", version="1.1.0")
    # Of the one that is current the API server knows; of those before, the operator.
    change(world, "owned", code=CODE % 3, version="1.0.0")
    taken = settled(world, "owned", "VersionConflict")
    assert "spec.version 1.0.0 is taken" in taken["message"]
    assert "Version 1.1.0 is still called" in taken["message"]
    assert (taken["state"], taken["version"]) == ("Error", "1.1.0")
    change(world, "owned", code=CODE % 1, version="1.0.0")
    back = settled(world, "owned", "Published", version="1.0.0")
    assert back["revision"] == first["revision"]
    assert revisions(world, "owned").keys() == {"1.0.0", "1.1.0"}

    schema = {"$ref": "http://10.0.0.1/schema.json", "type": "object"}
    change(world, "owned", version="2.0.0", inputSchema=schema)
    refused = settled(world, "owned", "SchemaInvalid")
    assert (
        'inputSchema refers to "http://10.0.0.1/schema.json" outside itself' in (refused["message"])
    )
    assert refused["version"] == "1.0.0"
    assert {c["type"]: c["status"] for c in refused["conditions"]} == {
        "Ready": "False",
        "Stalled": "True",
    }

    # Neither ends the operator, and none of them is published.
    large = {"type": "object", "properties": {f"p{n}": {"const": "x" * 1000} for n in range(40)}}
    for name, schema, words in (
        ("late", {**doubling(32), "type": "object"}, "inputSchema took over 250 ms to judge"),
        ("large", large, "of at most 32,768"),
    ):
        world.create(make_function(name, inputSchema=schema))
        told = settled(world, name, "SchemaInvalid")
        assert words in told["message"]
        assert "version" not in told
    assert revisions(world, "late") == revisions(world, "large") == {}


def test_code_of_elsewhere_and_what_is_missing(world: World) -> None:
    key = {"name": "code", "key": "main.py"}
    world.create(
        make_function(
            "mapped",
            code=None,
            codeFrom={"configMapKeyRef": key},
            className="absent",
            version="1.0.0",
        )
    )
    missing = settled(world, "mapped", "CodeMissing")
    assert 'ConfigMap "code" does not exist; create it.' in missing["message"]
    assert "version" not in missing
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "code"},
        "data": {"main.py": CODE % 1},
    }
    world.create(config_map)
    absent = settled(world, "mapped", "ClassNotFound")
    assert 'SandboxClass "absent" does not exist' in absent["message"]
    change(world, "mapped", className="python")
    first = settled(world, "mapped", "Published", version="1.0.0")
    assert revisions(world, "mapped")["1.0.0"]["data"]["code"] == CODE % 1

    # The ConfigMap is not watched; any look at the Function reads it.
    world.patch("configmap", "code", {"data": {"main.py": CODE % 2}})
    change(world, "mapped", description="Adds.")
    taken = settled(world, "mapped", "VersionConflict")
    assert 'the code in ConfigMap "code"' in taken["message"]
    assert (taken["version"], taken["revision"]) == ("1.0.0", first["revision"])

    world.create(
        make_function("secret", code=None, codeFrom={"secretKeyRef": key}, version="1.0.0")
    )
    unread = settled(world, "secret", "CodeMissing")
    assert 'there is no Secret "code" with the label soulbox.dev/readable' in unread["message"]
    world.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "code", "labels": {"soulbox.dev/readable": "true"}},
            "data": {"main.py": base64.b64encode(b"print('hidden words')").decode()},
        }
    )
    told = settled(world, "secret", "Published", version="1.0.0")
    held = revisions(world, "secret")["1.0.0"]["data"]
    assert "code" not in held
    assert held["codeSHA256"] == told["versions"][0]["codeSHA256"]
    assert held["spec"]["codeFrom"] == {"secretKeyRef": key}
