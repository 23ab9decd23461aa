"""`soulbox tools list`, `show`, `export`: Functions as people and agents see them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from soulbox.app.commands.replaying import read_schema
from soulbox.pure.tool_formats import mcp_name, openai_name, to_mcp, to_openai
from tests.support.builders import make_execution
from tests.unit.commands.conftest import NAMESPACE, Shell

SCHEMA = {"type": "object", "properties": {"width": {"type": "integer"}}}


def make_tool(name: str, namespace: str = NAMESPACE, **changes: Any) -> dict[str, Any]:
    """A Function that is a tool, ready at 1.1.0; `tool` and `status` are laid over."""
    tool = {"title": name.title(), **changes.pop("tool", {})}
    status = {
        "state": "Ready",
        "reason": "Published",
        "observedGeneration": 1,
        "version": "1.1.0",
        "toolID": f"tool:{namespace}/{name}@1.1.0",
        "versions": [
            {"version": "1.1.0", "revision": f"{name}-new"},
            {"version": "1.0.0", "revision": f"{name}-old"},
        ],
        **changes.pop("status", {}),
    }
    spec = {"description": f"Does {name}.", "inputSchema": SCHEMA, "tool": tool, **changes}
    return {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
        "status": status,
    }


@pytest.fixture
def cluster(shell: Shell) -> Shell:
    api = shell.api
    api.add("functions", make_tool("resize", tool={"category": "media", "tags": ["image", "cpu"]}))
    api.add("functions", make_tool("crop", tool={"tags": ["image"]}, deprecated="use resize"))
    api.add("functions", make_tool("asleep", suspend=True, status={"state": "Suspended"}))
    failed = {"state": "Error", "version": None, "versions": []}
    api.add("functions", make_tool("never", status=failed))
    plain = make_tool("plain")
    del plain["spec"]["tool"]
    api.add("functions", plain)
    api.add("functions", make_tool("mail", "team-b"))
    old = {**SCHEMA, "required": ["width"]}
    api.add(
        "controllerrevisions",
        {
            "metadata": {"name": "resize-old", "namespace": NAMESPACE},
            "data": {
                "version": "1.0.0",
                "spec": {"description": "Did.", "inputSchema": old, "tool": {"title": "Old"}},
            },
        },
    )
    return shell


def tools(shell: Shell, *words: str) -> tuple[int, str, str]:
    return shell.call("tools", words[0], "-n", NAMESPACE, *words[1:])


def names(shell: Shell, *words: str) -> list[str]:
    code, out, err = tools(shell, "list", "-o", "name", *words)
    assert code == 0, err
    return [line.removeprefix("function/") for line in out.splitlines()]


def test_tools_of_a_namespace_are_listed_by_name_and_filtered(cluster: Shell) -> None:
    assert names(cluster) == ["asleep", "crop", "never", "resize"]
    assert names(cluster, "-A")[-1] == "mail"
    assert names(cluster, "--tag", "image") == ["crop", "resize"]
    assert names(cluster, "--tag", "image", "--tag", "cpu") == ["resize"]
    assert names(cluster, "--category", "media") == ["resize"]
    code, out, _ = tools(cluster, "list")
    assert code == 0
    header, *rows = (line.split() for line in out.splitlines())
    assert header == ["TOOL", "VERSION", "STATE", "CATEGORY", "TAGS", "TITLE", "AGE"]
    assert rows[1][:4] == ["team-a.crop", "1.1.0", "Ready,", "deprecated"]
    assert rows[3][:6] == ["team-a.resize", "1.1.0", "Ready", "media", "image,cpu", "Resize"]


def test_namespace_without_tools_says_so(shell: Shell) -> None:
    shell.api.add("namespaces", {"metadata": {"name": NAMESPACE}})
    code, out, _ = tools(shell, "list")
    assert (code, out) == (0, "no tools in namespace team-a\n")


def test_tool_is_shown_with_schema_versions_and_last_calls(cluster: Shell) -> None:
    call = make_execution("resize-1", NAMESPACE, functionRef={"name": "resize"})
    call["status"] = {"state": "Failed", "reason": "InputInvalid", "functionVersion": "1.1.0"}
    cluster.api.add("executions", call)
    code, out, err = tools(cluster, "show", "resize")
    assert code == 0, err
    for words in ("team-a.resize", "tool:team-a/resize@1.1.0", "Does resize.", "image, cpu"):
        assert words in out
    assert '"width"' in out
    assert [line.split() for line in out.splitlines() if line.startswith("Published")] == [
        ["Published", "1.1.0"],
        ["Published", "1.0.0"],
    ]
    assert "resize-1  1.1.0  Failed/InputInvalid" in out


def test_another_version_is_shown_as_it_was_published(cluster: Shell) -> None:
    code, out, _ = tools(cluster, "show", "resize@1.0.0")
    assert code == 0
    assert "Old" in out
    assert "Did." in out
    assert "tool:team-a/resize@1.1.0" not in out
    code, out, _ = tools(cluster, "show", "resize@1.0.0", "-o", "json")
    assert json.loads(out)["spec"]["inputSchema"]["required"] == ["width"]
    code, _, err = tools(cluster, "show", "resize@3.0.0")
    assert code == 1
    assert "Function resize has no version 3.0.0; there are 1.1.0, 1.0.0" in err
    code, _, err = tools(cluster, "show", "crop@1.0.0")
    assert code == 1, "its ControllerRevision is gone"
    assert "Function crop has no version 1.0.0" in err


def test_export_is_sorted_and_leaves_out_what_cannot_be_called(cluster: Shell) -> None:
    code, out, err = tools(cluster, "export", "-A")
    assert code == 0, err
    found = json.loads(out)["tools"]
    assert [one["name"] for one in found] == ["team-a.crop", "team-a.resize", "team-b.mail"]
    assert found[1] == {
        "name": "team-a.resize",
        "title": "Resize",
        "description": "Does resize.",
        "inputSchema": SCHEMA,
    }
    assert found[0]["description"] == "Does crop.\n\nDeprecated: use resize"
    assert "team-a/asleep is left out: it is suspended" in err
    assert "team-a/never is left out: it has no version that can be called" in err
    assert tools(cluster, "export", "-A")[1] == out
    code, out, _ = tools(cluster, "export", "--format", "openai", "resize")
    (one,) = json.loads(out)
    assert (one["type"], one["function"]["name"]) == ("function", "team-a__resize")
    code, _, err = tools(cluster, "export", "plain")
    assert code == 1
    assert "Function plain is no such tool" in err
    code, _, err = tools(cluster, "export", "resise")
    assert "did you mean resize?" in err


def test_what_is_exported_while_a_new_version_is_refused_is_the_current_one(cluster: Shell) -> None:
    status = {"state": "Error", "reason": "SchemaInvalid", "version": "1.0.0"}
    cluster.api.edit("functions", NAMESPACE, "resize", {"status": status})
    _, out, _ = tools(cluster, "export", "resize")
    (one,) = json.loads(out)["tools"]
    assert (one["title"], one["inputSchema"]["required"]) == ("Old", ["width"])


def test_export_of_versions_has_them_in_its_names(cluster: Shell) -> None:
    def exported(*words: str) -> list[tuple[str, str]]:
        code, out, err = tools(cluster, "export", *words)
        assert code == 0, err
        found = json.loads(out)
        if isinstance(found, list):
            return [(one["function"]["name"], one["function"]["description"]) for one in found]
        return [(one["name"], one["description"]) for one in found["tools"]]

    assert [name for name, _ in exported("-A", "--pinned")] == [
        "team-a.crop.1_1_0",
        "team-a.resize.1_1_0",
        "team-b.mail.1_1_0",
    ]
    both = exported("resize@1.0.0", "resize", "resize@1.0.0")
    assert both == [("team-a.resize.1_0_0", "Did."), ("team-a.resize", "Does resize.")]
    assert exported("resize@1.0.0", "resize", "--pinned", "--format", "openai") == [
        ("team-a__resize__1_0_0", "Did."),
        ("team-a__resize__1_1_0", "Does resize."),
    ]
    # While a new version is refused the one that is called is an older one.
    status = {"state": "Error", "reason": "SchemaInvalid", "version": "1.0.0"}
    cluster.api.edit("functions", NAMESPACE, "resize", {"status": status})
    assert exported("resize", "--pinned") == [("team-a.resize.1_0_0", "Did.")]
    code, out, err = tools(cluster, "export", "resize@3.0.0")
    assert (code, out) == (1, "")
    assert "Function resize has no version 3.0.0; there are 1.1.0, 1.0.0" in err


def test_definitions_hold_what_the_function_says() -> None:
    spec = {
        "description": "Does.",
        "tool": {"annotations": {"readOnlyHint": True}},
        "outputSchema": {"type": "array"},
    }
    assert to_mcp("a", "b", spec) == {
        "name": "a.b",
        "description": "Does.",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "array"},
        "annotations": {"readOnlyHint": True},
    }
    assert to_openai("a", "b", spec)["function"] == {
        "name": "a__b",
        "description": "Does.",
        "parameters": {"type": "object"},
    }


def test_names_are_unique_and_as_long_as_they_may_be() -> None:
    namespace, name = "n" * 63, "f" * 63
    assert len(mcp_name(namespace, name)) <= 128
    long = {openai_name(namespace, name), openai_name(namespace, name[1:])}
    assert {len(one) for one in long} == {64}
    assert len(long) == 2
    assert openai_name("a", "b.c") == "a__b_c"


def test_names_of_versions_are_nobody_else_s() -> None:
    versions = [
        "1", "2", "12", "1.2.0", "1.20.0", "12.0.0", "1.2.0-0", "1.2.0-rc.1", "1.2.0-rc-1",
        "1.2.0-1", "1.2.0-RC.1", "1.0.0-a..b", "1.0.0-" + "x" * 57,
    ]  # fmt: skip
    # What dots in a name could be taken for.
    functions = ["a", "a.1", "a.1.2.0", "a.b", "a-b", "a.1-2-0", "1", "1.2.0", "f" * 63, "f" * 62]
    namespaces = ["a", "a-a", "1", "n" * 63]
    for make, most in ((mcp_name, 128), (openai_name, 64)):
        found = [
            make(namespace, function, version)
            for namespace in namespaces
            for function in functions
            for version in (None, *versions)
        ]
        assert len(set(found)) == len(found)
        assert max(map(len, found)) == most
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in found)
    assert mcp_name("acme", "resize", "1.2.0") == "acme.resize.1_2_0"
    assert mcp_name("acme", "resize", "3") == "acme.resize._3"
    assert openai_name("acme", "resize", "3") == "acme__resize__3"


def function(name: str, schema: Any) -> dict[str, Any]:
    return {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name},
        "spec": {"inputSchema": schema} if schema else {},
    }


def test_schema_comes_alone_or_in_a_manifest(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"

    def read(*documents: Any) -> Any:
        file.write_text("\n---\n".join(map(json.dumps, documents)))
        return read_schema(file, "resize")

    assert read(SCHEMA) == SCHEMA
    assert read(function("renamed", SCHEMA)) == SCHEMA
    assert read(function("other", {}), {"kind": "Sandbox"}, function("resize", SCHEMA)) == SCHEMA
    for documents, want in (
        ([function("a", SCHEMA), function("b", SCHEMA)], "holds 2 Functions: give"),
        ([{"apiVersion": "v1", "kind": "Pod"}], "holds no Functions: give"),
        ([], "holds no Functions"),
        ([function("resize", None)], "has no spec.inputSchema"),
    ):
        with pytest.raises(typer.BadParameter, match=want):
            read(*documents)
    file.write_text("{a: [}")
    with pytest.raises(typer.BadParameter, match="is not YAML or JSON"):
        read_schema(file, "resize")
    with pytest.raises(typer.BadParameter, match="cannot read"):
        read_schema(tmp_path / "none.yaml", "resize")
