"""Handlers: a function of the code that is called with the input and returns the result."""

from __future__ import annotations

import base64
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from soulbox.kinds.execution.decide.uncaught import parse_uncaught
from soulbox.model.states import RunOutcome
from tests.support.runner_client import Runner, text

ROOT = Path(__file__).parents[2]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
LANGUAGES = [
    pytest.param("python", ".py", id="Python"),
    pytest.param("node", ".js", id="CommonJS", marks=needs_node),
    pytest.param("node", ".mjs", id="ES module", marks=needs_node),
]
COMMANDS = {"python": ["python3"], "node": ["node"]}


def call(
    runner: Runner, uid: str, code: str, language: str = "python", extension: str = ".py",
    handler: str = "main", **request: Any,
) -> dict[str, Any]:  # fmt: skip
    """Run a handler; input, where given, is any value."""
    if "input" in request:
        request["input"] = json.dumps(request["input"], ensure_ascii=False)
    request = {"command": COMMANDS[language]} | request
    told = {"name": handler, "language": language}
    return runner.run(uid, code, extension=extension, handler=told, **request)


def returned(doc: dict[str, Any]) -> Any:
    """What the handler of a run that ended well returned."""
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}, said(doc)
    return json.loads(base64.b64decode(doc["resultFile"]["content"]))


def said(doc: dict[str, Any]) -> str:
    return text(doc["output"]["stderr"])


def failed(doc: dict[str, Any]) -> str:
    """stderr of one that ended with an error, which is no result."""
    assert doc["result"] == {"outcome": "Exited", "exitCode": 1}, (doc["result"], said(doc))
    assert "resultFile" not in doc
    assert "/tmp/soulbox-" not in said(doc), "a frame of ours"
    error = parse_uncaught(said(doc), 1)
    assert error is not None, "status.error says what it died of"
    assert error.type, said(doc)
    return said(doc)


ECHO = {
    ".py": """
import os, sys, helper
print("printed", __name__, sys.argv[1:], sys.argv[0] == __file__, os.getcwd() == sys.path[0])
def main(input):
    return {"input": input, "answer": helper.answer, "é": "ü"}
if __name__ == "__main__": print("run as a program")
""",
    ".js": """
const helper = require("./helper.js");
const [, path, ...rest] = process.argv;
console.log("printed", require.main === module, rest, path === __filename);
exports.main = (input) => ({input, answer: helper.answer, "é": "ü"});
""",
    ".mjs": """
import helper from "./helper.js";
import { fileURLToPath } from "node:url";
console.log("printed", process.argv.slice(2), process.argv[1] === fileURLToPath(import.meta.url));
export function main(input) { return {input, answer: helper.answer, "é": "ü"}; }
""",
}  # fmt: skip
PRINTED = {
    ".py": "printed __mp_main__ ['x', 'é y'] True True\n",
    ".js": "printed false [ 'x', 'é y' ] true\n",
    ".mjs": "printed [ 'x', 'é y' ] true\n",
}


@pytest.mark.parametrize(("language", "extension"), LANGUAGES)
def test_handler_gets_the_input_and_gives_the_result(
    runner: Runner, language: str, extension: str
) -> None:
    files = [
        {"path": "helper.py", "content": "answer = 42\n"},
        {"path": "helper.js", "content": "exports.answer = 42;\n"},
    ]
    more: dict[str, Any] = {"files": files, "args": ["x", "é y"]}
    given = {"größe": [1, 2.5, None, "\u2028"], "many": "é" * 100_000}
    doc = call(runner, "a", ECHO[extension], language, extension, input=given, **more)
    # The result is too large here, by the input that it holds: so everything got there.
    assert doc["resultFile"]["problem"] == "TooLarge", said(doc)
    del given["many"]
    doc = call(runner, "b", ECHO[extension], language, extension, input=given, **more)
    assert returned(doc) == {"input": given, "answer": 42, "é": "ü"}
    assert "é".encode() in base64.b64decode(doc["resultFile"]["content"]), "two bytes, not six"
    assert text(doc["output"]["stdout"]) == PRINTED[extension]
    doc = call(runner, "none", ECHO[extension], language, extension, **more)
    assert returned(doc)["input"] is None
    assert list((runner.base / "tmp").iterdir()) == []


ASYNC = {
    ".py": """
import asyncio
async def main(input):
    await asyncio.sleep(0.01)
    if input == "fail": raise LookupError("later")
    return [input]
def nothing(input): pass
""",
    ".js": """
exports.main = async (input) => {
  await new Promise((done) => setTimeout(done, 10));
  if (input === "fail") throw new RangeError("later");
  return [input];
};
exports.nothing = () => {};
""",
}
ASYNC[".mjs"] = ASYNC[".js"].replace("exports.", "export const ")


@pytest.mark.parametrize(("language", "extension"), LANGUAGES)
def test_handler_may_be_asynchronous_and_may_return_nothing(
    runner: Runner, language: str, extension: str
) -> None:
    code = ASYNC[extension]
    assert returned(call(runner, "a", code, language, extension, input="x")) == ["x"]
    assert returned(call(runner, "b", code, language, extension, handler="nothing")) is None
    words = failed(call(runner, "c", code, language, extension, input="fail"))
    assert ("LookupError: later" if language == "python" else "RangeError: later") in words


def test_exception_in_python_looks_as_without_a_handler(runner: Runner) -> None:
    code = """
class Mine(Exception): pass
def inner():
    try: {}["k"]
    except KeyError as error: raise ValueError("boom") from error
def main(input):
    inner()
"""
    code_path = f"{runner.workspace}/.soulbox-main.py"
    words = failed(call(runner, "a", code))
    plain = said(runner.run("plain", code + "main(None)", command=["python3"]))
    lines = [
        line for line in plain.splitlines() if "<module>" not in line and "main(None)" not in line
    ]
    assert [line for line in words.splitlines() if "^" not in line] == [
        line for line in lines if "^" not in line
    ]
    assert f'  File "{code_path}", line 7, in main\n' in words
    assert words.endswith("ValueError: boom\n")
    # Before the function is called; in it; and where no line is to blame.
    words = failed(call(runner, "load", "x = 1\n1/0\ndef main(input): pass"))
    assert words.startswith(f'Traceback (most recent call last):\n  File "{code_path}", line 2, in')
    words = failed(call(runner, "syntax", "def main(input):\n  return (\n"))
    assert words.startswith(f'  File "{code_path}", line 2\n')
    words = failed(call(runner, "arguments", "def main(): pass"))
    assert words == (
        "Traceback (most recent call last):\n"
        "TypeError: main() takes 0 positional arguments but 1 was given\n"
    )


@needs_node
@pytest.mark.parametrize("extension", [".js", ".mjs"])
def test_exception_in_node_looks_as_without_a_handler(runner: Runner, extension: str) -> None:
    export = "export " if extension == ".mjs" else "exports.main = "
    path = f"{runner.workspace}/.soulbox-main{extension}"
    place = f"file://{path}" if extension == ".mjs" else path
    for how in ("", "async "):
        code = f"{export}{how}function main(input) {{\n  throw new TypeError('boom');\n}}\n"
        read = "try { inner() } catch (e) { e.stack; throw e }"
        seen = f"function inner() {{ null.x }}\n{export}{how}function main(input) {{ {read} }}\n"
        words = failed(call(runner, f"seen{how.strip()}", seen, "node", extension))
        assert f" inner ({place}:1:" in words, words
        words = failed(call(runner, f"a{how.strip()}", code, "node", extension))
        assert words.startswith(f"{place}:2\n  throw new TypeError('boom');\n"), words
        assert "\nTypeError: boom\n" in words
        assert f"({place}:2:9)" in words
        assert "call.cjs" not in words
    words = failed(call(runner, "load", "1;\nthrow new Error('at load');\n", "node", extension))
    assert words.startswith(f"{place}:2\n"), words
    words = failed(call(runner, "syntax", "1;\nlet let = 1;\n", "node", extension))
    assert words.startswith(f"{place}:2\nlet let = 1;\n"), words
    assert "call.cjs" not in words
    words = failed(
        call(runner, "value", f"{export}function main() {{ throw 'text' }}", "node", extension)
    )
    assert words.startswith(f"{path}:1\nmain\n^\n\n'text'\n(Use `node --trace-uncaught"), words


UNFIT = {
    ".py": {
        "set()": "Object of type set is not JSON serializable",
        "[object()]": "Object of type object is not JSON serializable",
        "float('nan')": "Out of range float values are not JSON compliant",
        "{(1, 2): 3}": "keys must be str, int, float, bool or None, not tuple",
        "'\\ud800'": "surrogates not allowed",
        "(lambda a: [a.append(a), a])([])": "Circular reference detected",
    },
    ".js": {
        "new Map()": "it is a Map",
        "{a: 1n}": 'its "a" is a bigint',
        "[() => 1]": 'its "0" is a function',
        "NaN": "it is NaN",
        "{p: Promise.resolve(1)}": 'its "p" is a Promise',
        "(() => { const a = {}; a.a = a; return a })()": "Converting circular structure to JSON",
    },
}


@pytest.mark.parametrize(("language", "extension"), LANGUAGES[:2])
def test_value_that_json_cannot_hold_is_named(
    runner: Runner, language: str, extension: str
) -> None:
    for number, (value, problem) in enumerate(UNFIT[extension].items()):
        code = f"def main(input):\n    return {value}\n"
        if language == "node":
            code = f"exports.main = () => ({value});"
        words = failed(call(runner, f"r{number}", code, language, extension))
        error = parse_uncaught(words, 1)
        assert error is not None
        assert error.type == "HandlerError"
        [line] = [line for line in words.splitlines() if "HandlerError" in line]
        assert line.startswith("HandlerError: what main returned cannot be written as JSON: "), line
        assert problem in line


MISSING = {
    ".py": ("from json import loads\nclass C: pass\nx = 1\ndef one(a): 1\ndef two(a): 2",
            "HandlerError: the code has no function {}; it has one, two"),
    ".js": ("function hidden() {}; exports.one = exports.two = () => 1; exports.x = 1;",
            "HandlerError: the code exports no function {}; it exports one, two"),
    ".mjs": ("function hidden() {}; export const x = 1; export const one = () => 1, two = one;",
             "HandlerError: the code exports no function {}; it exports one, two"),
}  # fmt: skip


@pytest.mark.parametrize(("language", "extension"), LANGUAGES)
def test_handler_that_is_missing_is_named_with_what_is_there(
    runner: Runner, language: str, extension: str
) -> None:
    code, want = MISSING[extension]
    for name in ("main", "x", "constructor", "__class__", "hidden", "__proto__"):
        words = failed(call(runner, f"r{name.strip('_')}", code, language, extension, handler=name))
        assert want.format(name) in words.splitlines()
    words = failed(call(runner, "nothing", "", language, extension))
    assert words.splitlines()[-1 if language == "python" else 4].endswith("none at all")


@pytest.mark.parametrize(
    "handler",
    [
        {"name": "main"},
        {"name": "1a", "language": "python"},
        {"name": "a.b", "language": "node"},
        {"name": "", "language": "node"},
        {"name": "main", "language": "bash"},
        {"name": "main", "language": "python", "more": 1},
        "main",
    ],
    ids=str,
)
def test_handler_that_is_none_is_refused(runner: Runner, handler: Any) -> None:
    reply = runner.put("a", handler=handler)
    assert (reply.status, reply.code) == (400, "Invalid")


def test_handler_ends_as_a_program_does(runner: Runner) -> None:
    doc = call(runner, "a", "import sys\ndef main(input):\n    print('bye')\n    sys.exit(3)")
    assert (doc["result"]["exitCode"], text(doc["output"]["stdout"])) == (3, "bye\n")
    assert ("resultFile" in doc, said(doc)) == (False, "")
    code = "import os\nos.environ.clear()\nos.chdir('/')\ndef main(input): return input"
    assert returned(call(runner, "environment", code, input=1)) == 1
    doc = call(runner, "b", "import os\ndef main(input):\n    os.kill(os.getpid(), 9)")
    assert doc["result"]["outcome"] == RunOutcome.SIGNALED
    code = "import threading, time\ndef late():\n    time.sleep(0.1); print('late')\n"
    doc = call(runner, "c", code + "def main(input):\n    threading.Thread(target=late).start()")
    assert (returned(doc), text(doc["output"]["stdout"])) == (None, "late\n")


@needs_node
def test_node_handler_that_waits_for_nothing_is_told(runner: Runner) -> None:
    """Node itself would end with exit code 0."""
    code = "exports.main = () => new Promise(() => {});"
    words = failed(call(runner, "a", code, "node", ".js"))
    assert "HandlerError: main waits for what never comes" in words
    doc = call(runner, "b", "exports.main = () => process.exit(3);", "node", ".js")
    assert (doc["result"]["exitCode"], said(doc)) == (3, "")
    code = "exports.main = (input) => { setTimeout(() => console.log('late'), 50); return 1 };"
    doc = call(runner, "c", code, "node", ".js")
    assert (returned(doc), text(doc["output"]["stdout"])) == (1, "late\n")


@needs_node
def test_node_handlers_are_found_where_they_are_exported(runner: Runner) -> None:
    for number, (extension, code) in enumerate((
        (".js", "module.exports = class { static main() { return 1 } };"),
        (".js", "module.exports = function main() { return 1 };"),
        (".js", "exports.one = () => 1; exports.main = function () { return this.one() };"),
        (".mjs", "export default function main() { return 1 }"),
        (".mjs", "export default { main: () => 1 }"),
        (".mjs", "const hidden = () => 1; export { hidden as main }; await null;"),
        ("", "exports.main = () => 1;"),
    )):  # fmt: skip
        assert returned(call(runner, f"r{number}", code, "node", extension)) == 1, code


def test_python_handler_s_children_find_its_functions(runner: Runner) -> None:
    code = """
import multiprocessing, pickle
class Point: pass
def square(x): return x * x
def main(input):
    assert type(pickle.loads(pickle.dumps(Point()))) is Point
    found = []
    for method in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(method).Pool(1) as pool:
            found.append(pool.map(square, range(4)))
    return found
"""
    assert returned(call(runner, "a", code)) == [[0, 1, 4, 9]] * 3


def test_isolated_python_has_no_workspace_in_its_path(runner: Runner) -> None:
    code = (
        "import sys\ndef main(input):\n    return [path for path in sys.path if 'soulbox' in path]"
    )
    assert returned(call(runner, "plain", code)) == [str(runner.workspace)]
    assert returned(call(runner, "isolated", code, command=["python3", "-I"])) == []


def test_memory_stays_bounded_with_large_inputs(runner: Runner) -> None:
    given = "x" * 262_000
    for number in range(20):
        doc = call(runner, f"r{number}", "def main(input): return len(input)", input=given)
        assert returned(doc) == len(given)
        runner.release(f"r{number}")
    assert runner.status_value("VmHWM") < 32 * 1024, "kB"


def test_python_handler_starts_without_what_json_imports(runner: Runner) -> None:
    """Which takes half as long as Python takes to start."""
    code = """
import sys
def main(input): return [name for name in ("json", "re", "enum", "types") if name in sys.modules]
"""
    doc = call(runner, "bare", code, command=["python3", "-S"], input={"n": 1})
    assert returned(doc) == []


VALUES: dict[str, Any] = {
    "an object": {"é": [1, -2.5e300, True, False, None, {"": '\u2028\x00"\\'}]},
    "a text": "ü\n",
    "a large number": 2**80,
    "a tuple, and keys that are no text": {1: (2, 3), None: 4, False: 5, 1.5: 6},
    "a number that is none": float("nan"),
    "something else": object(),
    "keys of something else": {(1, 2): 3},
    "bytes": b"x",
}
TEXTS = {
    "an object": '{"a": [1, 2.5, -0.0, 1e999, "\\u00e9\\ud800", true, null], "a": 2}',
    "space around it": " [1] \n",
    "nothing": "",
    "two values": "1 2",
    "no JSON": "{'a': 1}",
    "a control character": '"\x01"',
    "a number that is none": "[NaN, -Infinity]",
    "a mark of byte order": "\ufeff1",
}


@pytest.mark.parametrize("c_part", ["with C", "without C"])
def test_python_reads_and_writes_as_json_does(c_part: str) -> None:
    path = ROOT / "runner/internal/handler/call.py"
    names = runpy.run_path(str(path), run_name="call")
    if c_part == "without C":
        names["parse"].__globals__["_json"] = None

    def outcome(function: Any, value: Any) -> str:
        try:
            return repr(function(value))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def write(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    for what, text_ in TEXTS.items():
        assert outcome(names["parse"], text_) == outcome(json.loads, text_), what
    for what, value in VALUES.items():
        assert outcome(names["write"], value) == outcome(write, value), what
