"""Functions as people meet them: every example is called, and the tutorial is walked through."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_cli import Shell
from tests.support.builders import make_execution
from tests.support.fix_kube import ROOT
from tests.support.fix_operator import OperatorProcess
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FOLDER = ROOT / "examples" / "functions"


def make_png(width: int, height: int) -> str:
    """A red picture, as base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\xff\0\0" * width) * height)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


SALES = {"sales": [{"shop": "n", "sum": 1}, {"shop": "n", "sum": 2.5}, {"shop": "s"}]}
# Input and result of a call of each; None: looked at by itself.
CALLS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "resize-image": ({"image": make_png(8, 4), "width": 4}, None),
    "csv-to-json": (
        {"csv": 'name;age\nann;41\n"b;ob";\n'},
        {
            "columns": ["name", "age"],
            "rows": [{"name": "ann", "age": 41}, {"name": "b;ob", "age": None}],
        },
    ),
    "query-sqlite": (
        {
            "tables": SALES,
            "query": "select shop, sum(sum) as total from sales group by 1 order by 1",
        },
        {"columns": ["shop", "total"], "rows": [["n", 3.5], ["s", None]]},
    ),
    "extract-text": (
        {"text": "Mail ann@example.com by 2026-12-24", "what": ["email", "date"]},
        {
            "matches": [
                {"what": "email", "text": "ann@example.com", "start": 5},
                {"what": "date", "text": "2026-12-24", "start": 24},
            ]
        },
    ),
    "markdown-to-html": (
        {"markdown": "# A *b*\n- <i>\n- `c` [x](javascript:1)\n"},
        {
            "html": "<h1>A <em>b</em></h1>\n"
            "<ul><li>&lt;i&gt;</li><li><code>c</code> [x](javascript:1)</li></ul>"
        },
    ),
    "slugify": ({"title": "Ein schöner Tag: Straße!"}, {"slug": "ein-schoner-tag-strasse"}),
}
# What each refuses: by its schema, or by its code.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "resize-image": ({"image": "", "width": 9000}, "InputInvalid"),
    "csv-to-json": ({"csv": "a,b\n1,2,3\n"}, "NonZeroExit"),
    "query-sqlite": ({"tables": SALES, "query": "delete from sales"}, "NonZeroExit"),
    "extract-text": ({"text": "nothing is asked for"}, "InputInvalid"),
}


def test_every_example_is_a_tool_that_is_called_here() -> None:
    found = {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}
    assert found.keys() == CALLS.keys()
    for name, function in found.items():
        assert function["metadata"]["name"] == name
        assert function["spec"]["tool"]["title"]
        assert {"inputSchema", "outputSchema"} <= function["spec"].keys()


def test_examples_return_what_they_promise(world: World) -> None:
    world.kubectl.run("apply", "--namespace", world.namespace, "--filename", str(FOLDER))

    def call(name: str, function: str, given: Any) -> None:
        execution = make_execution(name, functionRef={"name": function}, input=given)
        del execution["spec"]["code"], execution["spec"]["sandboxRef"]
        world.create(execution)

    for name, (given, _) in CALLS.items():
        call(name, name, given)
    for name, (given, _) in REFUSED.items():
        call(f"{name}-refused", name, given)
    for name, (_, want) in CALLS.items():
        status = world.execution(name)["status"]
        assert status["reason"] == "Completed", (name, status)
        assert status["functionVersion"] == "1.0.0"
        if want is not None:
            assert status["result"] == want, name
    resized = world.get("execution", "resize-image")["status"]["result"]
    assert (resized["width"], resized["height"]) == (4, 2)
    image = base64.b64decode(resized["image"])
    assert struct.unpack(">II", image[16:24]) == (4, 2)
    for name, (_, reason) in REFUSED.items():
        status = world.execution(f"{name}-refused")["status"]
        assert status["reason"] == reason, (name, status)


def test_tutorial_keeps_its_word(world: World, operator: OperatorProcess, tmp_path: Path) -> None:
    """docs/your-first-tool.md from top to bottom, with the manifests that it shows."""
    shell = Shell(world, operator)
    page = (ROOT / "docs" / "your-first-tool.md").read_text()
    first, second = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.M | re.S)
    new = tmp_path / "count-words-2.yaml"
    new.write_text(second)

    def apply(manifest: str, version: str) -> None:
        world.kubectl.run(
            "apply", "--namespace", world.namespace, "--filename", "-", stdin=manifest
        )
        world.wait(
            "function",
            "count-words",
            lambda found: (
                found["status"].get("version") == version
                and found["status"]["observedGeneration"] == found["metadata"]["generation"]
            ),
            f"version {version}",
        )

    def call(text: str, *options: str, function: str = "count-words") -> Any:
        given = json.dumps({"text": text})
        code, out, err = shell.call("call", function, "--input", given, *options)
        assert (code, err) == (0, "")
        return json.loads(out)

    apply(first, "1.0.0")
    hamlet = "to be or not to be"
    assert call(hamlet) == {"words": 6}
    code, out, err = shell.call("call", "count-words", "--input", '{"txt": "to be"}')
    assert (code, out) == (125, "")
    said = 'Failed/InputInvalid: input has no "text", which inputSchema requires. None of its'
    assert said in err
    assert said in page
    assert call("") == {"words": 0}

    # The mirror is a moment behind.
    world.wait_rows(
        "select 1 from soulbox.executions where namespace = %(namespace)s and state <> 'queued'"
        " and completed_at is not null",
        lambda found: len(found) == 3,
        namespace=world.namespace,
    )
    code, out, err = shell.call(
        "tools", "replay", "count-words", "--against", str(new), "-o", "json", SOULBOX_DSN=world.dsn
    )
    assert code == 1, err
    (refused,) = json.loads(out)
    assert refused["problem"] == "input.text: an empty string is shorter than 1 character"
    assert refused["problem"] in page
    assert "1 of 2 calls of 30 days would be refused" in err

    apply(second, "1.1.0")
    assert call(hamlet) == {"words": 6, "letters": 13}
    assert call(hamlet, function="count-words@1.0.0") == {"words": 6}
    apply(first, "1.0.0")
    assert call(hamlet, "-f") == {"words": 6}
    code, _, err = shell.call("call", "count-words@3.0.0", "--input", '{"text": "x"}')
    assert code == 125
    assert "VersionNotFound" in err
    look_for_it(shell, yaml.safe_load(first))


def look_for_it(shell: Shell, manifest: dict[str, Any]) -> None:
    """As people and agents find the tool of the tutorial, at 1.0.0 after 1.1.0."""
    world = shell.world
    code, out, _ = shell.call("tools", "show", "count-words", SOULBOX_DSN=world.dsn)
    assert code == 0
    assert f"tool:{world.namespace}/count-words@1.0.0" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("Published")] == [
        "1.1.0",
        "1.0.0",
    ]
    assert "Calls of the last 30 days:" in out
    code, out, _ = shell.call("tools", "show", "count-words@1.1.0", "-o", "json")
    assert json.loads(out)["spec"]["outputSchema"]["required"] == ["words", "letters"]
    code, out, _ = shell.call("tools", "export", "--format", "mcp")
    (tool,) = json.loads(out)["tools"]
    assert tool["name"] == f"{world.namespace}.count-words"
    assert tool["inputSchema"] == manifest["spec"]["inputSchema"]
    code, out, err = shell.call(
        "tools", "search", "counting words", "-o", "json", SOULBOX_DSN=world.dsn
    )
    assert code == 0, err
    assert f"tool:{world.namespace}/count-words@1.0.0" in [
        row["tool_id"] for row in json.loads(out)
    ]
