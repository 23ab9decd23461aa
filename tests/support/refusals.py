"""What users may not ask for, and the words they must get.

One table for both gates: the API server at apply (tests/api) and the operator's parser for
objects stored under an older CRD (tests/unit/schema).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.builders import (
    make_execution,
    make_function,
    make_sandbox,
    make_sandbox_class,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A manifest that is refused.

    Attributes:
        want_api: words of the API server's answer: field, problem, remedy.
        want_field: field that the parser names.
    """

    make: Callable[..., dict[str, Any]] = make_execution
    spec: dict[str, Any] = field(default_factory=dict)
    want_api: tuple[str, ...]
    want_field: str


def _file(path: str = "a.txt", **changes: Any) -> dict[str, Any]:
    return {"path": path, "content": "x", **changes}


_ONE_TARGET = ("exactly one of sandboxRef and className", "set one and remove the other")
_ONE_CODE = ("exactly one of code, codeFrom and functionRef", "set one and remove the others")
_CALLED: dict[str, Any] = {"code": None, "sandboxRef": None, "functionRef": {"name": "resize"}}
_ONE_CODE_OF_TWO = ("spec needs exactly one of code and codeFrom", "set one and remove the other")
_ONE_KEY = ("spec.codeFrom needs exactly one of configMapKeyRef and secretKeyRef", "set one")
_PATH = ("file path leaves the workspace", "make it relative")
_RUNNERS_PATH = ("file path holds NUL or starts with .soulbox-", "choose another name")
_ENV_NAME = ("env name is not legal", "do not start with a digit")
_GLOB = ("captureFiles holds a glob that leaves the workspace", "make it relative")
_POSITIVE = ("should be greater than or equal to 1",)
_KEY = {"name": "code", "key": "main.py"}

_USER = ("spec.user is not a name that a bill can show", "correct it")

REFUSALS: dict[str, Refusal] = {
    "both sandboxRef and className": Refusal(
        spec={"className": "python"}, want_api=_ONE_TARGET, want_field="spec"
    ),
    "neither sandboxRef nor className": Refusal(
        spec={"sandboxRef": None}, want_api=_ONE_TARGET, want_field="spec"
    ),
    "both code and codeFrom": Refusal(
        spec={"codeFrom": {"configMapKeyRef": _KEY}}, want_api=_ONE_CODE, want_field="spec"
    ),
    "neither code nor codeFrom": Refusal(
        spec={"code": None}, want_api=_ONE_CODE, want_field="spec"
    ),
    "both code and functionRef": Refusal(
        spec=_CALLED | {"code": "print(1)"}, want_api=_ONE_CODE, want_field="spec"
    ),
    "a call in a Sandbox that is named": Refusal(
        spec=_CALLED | {"sandboxRef": {"name": "box"}},
        want_api=("spec.functionRef runs where the Function says", "remove sandboxRef"),
        want_field="spec.sandboxRef",
    ),
    "a call with a handler of its own": Refusal(
        spec=_CALLED | {"handler": "main"},
        want_api=("spec.functionRef runs what the Function says", "remove language, handler"),
        want_field="spec.handler",
    ),
    "a handler that is no name": Refusal(
        spec={"handler": "1st"},
        want_api=("spec.handler is not the name of a function", "begin with no digit"),
        want_field="spec.handler",
    ),
    "codeFrom with both keys": Refusal(
        spec={"code": None, "codeFrom": {"configMapKeyRef": _KEY, "secretKeyRef": _KEY}},
        want_api=_ONE_KEY,
        want_field="spec.codeFrom",
    ),
    "codeFrom with no key": Refusal(
        spec={"code": None, "codeFrom": {}}, want_api=_ONE_KEY, want_field="spec.codeFrom"
    ),
    "code one byte too long, in characters of two bytes": Refusal(
        spec={"code": "é" * 131_072 + "a"},
        want_api=("spec.code is larger than 262144 bytes", "shorten it"),
        want_field="spec.code",
    ),
    "code one character too long": Refusal(
        spec={"code": "a" * 262_145}, want_api=("spec.code", "262144"), want_field="spec.code"
    ),
    "code, files, args, stdin and env one byte too many": Refusal(
        spec={
            "code": "a" * 200_000,
            "files": [_file(content="b" * 100_000)],
            "args": ["c" * 20_000, "é" * 10_000],
            "stdin": "d" * 40_000,
            "env": [{"name": "E", "value": "e" * 13_217}],
        },
        want_api=("spec holds more than 393216 bytes", "reduce the input"),
        want_field="spec",
    ),
    "resources of an Execution in a Sandbox": Refusal(
        spec={"resources": {"memory": "1Gi"}},
        want_api=("spec.resources needs className", "give the Sandbox what it needs"),
        want_field="spec.resources",
    ),
    "a variable of an Execution from nowhere": Refusal(
        spec={"env": [{"name": "A", "valueFrom": {}}]},
        want_api=("env valueFrom needs exactly one of configMapKeyRef and secretKeyRef",),
        want_field="spec.env[0].valueFrom",
    ),
    "a user that a spreadsheet takes for a formula": Refusal(
        spec={"user": "=HYPERLINK(1)"}, want_api=_USER, want_field="spec.user"
    ),
    "a user that begins with a minus": Refusal(
        spec={"user": "-1+1"}, want_api=_USER, want_field="spec.user"
    ),
    "a user that is blank": Refusal(spec={"user": " "}, want_api=_USER, want_field="spec.user"),
    "a user with a line break": Refusal(
        spec={"user": "ada\nbob"}, want_api=_USER, want_field="spec.user"
    ),
    "a user with NUL": Refusal(spec={"user": "a\0b"}, want_api=_USER, want_field="spec.user"),
    "a file path with ..": Refusal(
        spec={"files": [_file("a/../../etc/passwd")]},
        want_api=_PATH,
        want_field="spec.files[0].path",
    ),
    "a file path with .": Refusal(
        spec={"files": [_file("./a")]}, want_api=_PATH, want_field="spec.files[0].path"
    ),
    "an absolute file path": Refusal(
        spec={"files": [_file(), _file("/etc/passwd")]},
        want_api=_PATH,
        want_field="spec.files[1].path",
    ),
    "a file path with an empty part": Refusal(
        spec={"files": [_file("a//b")]}, want_api=_PATH, want_field="spec.files[0].path"
    ),
    "an empty file path": Refusal(
        spec={"files": [_file("")]}, want_api=("path",), want_field="spec.files[0].path"
    ),
    "a file path with NUL": Refusal(
        spec={"files": [_file("a\0b")]}, want_api=_RUNNERS_PATH, want_field="spec.files[0].path"
    ),
    "a file path of the runner": Refusal(
        spec={"files": [_file(".soulbox-x")]},
        want_api=_RUNNERS_PATH,
        want_field="spec.files[0].path",
    ),
    "file name of 256 bytes": Refusal(
        spec={"files": [_file("data/" + "ü" * 128)]},
        want_api=("file path has a name longer than 255 bytes", "shorten it"),
        want_field="spec.files[0].path",
    ),
    "file mode with the set-user-id bit": Refusal(
        spec={"files": [_file(mode=0o4755)]},
        want_api=("should be less than or equal to 511",),
        want_field="spec.files[0].mode",
    ),
    "two files of one path": Refusal(
        spec={"files": [_file(), _file()]},
        want_api=("spec.files[1]", "Duplicate value"),
        want_field="spec.files[1].path",
    ),
    "33 files": Refusal(
        spec={"files": [_file(str(number)) for number in range(33)]},
        want_api=("spec.files", "must have at most 32 items"),
        want_field="spec.files",
    ),
    "an unknown encoding": Refusal(
        spec={"files": [_file(encoding="hex")]},
        want_api=("spec.files[0].encoding", '"utf8", "base64"'),
        want_field="spec.files[0].encoding",
    ),
    "an env name that starts with a digit": Refusal(
        spec={"env": [{"name": "1A", "value": ""}]},
        want_api=_ENV_NAME,
        want_field="spec.env[0].name",
    ),
    "an env name with =": Refusal(
        spec={"env": [{"name": "A=B", "value": ""}]},
        want_api=_ENV_NAME,
        want_field="spec.env[0].name",
    ),
    "an empty env name": Refusal(
        spec={"env": [{"name": "", "value": ""}]},
        want_api=("spec.env[0].name",),
        want_field="spec.env[0].name",
    ),
    "two variables of one name": Refusal(
        spec={"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        want_api=("spec.env[1]", "Duplicate value"),
        want_field="spec.env[1].name",
    ),
    "an env value with NUL": Refusal(
        spec={"env": [{"name": "A", "value": "a\0b"}]},
        want_api=("env value holds a NUL character", "remove it"),
        want_field="spec.env[0].value",
    ),
    "an argument with NUL": Refusal(
        spec={"args": ["fine", "a\0b"]},
        want_api=("spec.args holds a NUL character", "remove it"),
        want_field="spec.args[1]",
    ),
    "a timeout of zero": Refusal(
        spec={"timeoutSeconds": 0}, want_api=_POSITIVE, want_field="spec.timeoutSeconds"
    ),
    "a negative timeout": Refusal(
        spec={"timeoutSeconds": -1}, want_api=_POSITIVE, want_field="spec.timeoutSeconds"
    ),
    "a timeout of more than a week": Refusal(
        spec={"timeoutSeconds": 604_801},
        want_api=("spec.timeoutSeconds", "604800"),
        want_field="spec.timeoutSeconds",
    ),
    "a timeout in words": Refusal(
        spec={"timeoutSeconds": "5s"},
        want_api=("spec.timeoutSeconds", "integer"),
        want_field="spec.timeoutSeconds",
    ),
    "a queue timeout of zero": Refusal(
        spec={"queueTimeoutSeconds": 0}, want_api=_POSITIVE, want_field="spec.queueTimeoutSeconds"
    ),
    "a deadline of ten years": Refusal(
        spec={"timeoutSeconds": 315_360_000},
        want_api=("spec.timeoutSeconds", "604800"),
        want_field="spec.timeoutSeconds",
    ),
    "a priority over 100": Refusal(
        spec={"priority": 101}, want_api=("spec.priority", "100"), want_field="spec.priority"
    ),
    "a priority below -100": Refusal(
        spec={"priority": -101}, want_api=("spec.priority", "-100"), want_field="spec.priority"
    ),
    "an output limit below zero": Refusal(
        spec={"outputLimitBytes": -1},
        want_api=("spec.outputLimitBytes",),
        want_field="spec.outputLimitBytes",
    ),
    "an output limit over a gigabyte": Refusal(
        spec={"outputLimitBytes": 1_073_741_825},
        want_api=("spec.outputLimitBytes", "1073741824"),
        want_field="spec.outputLimitBytes",
    ),
    "a glob that climbs out": Refusal(
        spec={"captureFiles": ["ok/*.txt", "../*"]},
        want_api=_GLOB,
        want_field="spec.captureFiles[1]",
    ),
    "a glob that climbs out in the middle": Refusal(
        spec={"captureFiles": ["a/../../etc/*"]},
        want_api=_GLOB,
        want_field="spec.captureFiles[0]",
    ),
    "a glob from the root": Refusal(
        spec={"captureFiles": ["/etc/*"]}, want_api=_GLOB, want_field="spec.captureFiles[0]"
    ),
    "a glob that is none": Refusal(
        spec={"captureFiles": ["[a"]},
        want_api=("spec.captureFiles[0]", "should match"),
        want_field="spec.captureFiles[0]",
    ),
    "a glob with NUL": Refusal(
        spec={"captureFiles": ["a\0b"]},
        want_api=("captureFiles holds a NUL character", "remove it"),
        want_field="spec.captureFiles[0]",
    ),
    "an empty glob": Refusal(
        spec={"captureFiles": [""]},
        want_api=("spec.captureFiles[0]",),
        want_field="spec.captureFiles[0]",
    ),
    "33 globs": Refusal(
        spec={"captureFiles": [f"{number}" for number in range(33)]},
        want_api=("spec.captureFiles", "must have at most 32 items"),
        want_field="spec.captureFiles",
    ),
    "stdin of 10 MiB": Refusal(
        spec={"stdin": "x" * 10_485_760},
        want_api=("too large",),
        want_field="spec.stdin",
    ),
    "a negative ttl": Refusal(
        spec={"ttlSecondsAfterFinished": -1},
        want_api=("spec.ttlSecondsAfterFinished",),
        want_field="spec.ttlSecondsAfterFinished",
    ),
    "a sandboxRef that cannot be a name": Refusal(
        spec={"sandboxRef": {"name": "../other"}},
        want_api=("spec.sandboxRef.name",),
        want_field="spec.sandboxRef.name",
    ),
    "a sandboxRef without a name": Refusal(
        spec={"sandboxRef": {}},
        want_api=("spec.sandboxRef.name", "Required value"),
        want_field="spec.sandboxRef.name",
    ),
    "a language that cannot be a name": Refusal(
        spec={"language": "Python 3"},
        want_api=("spec.language", "Python 3 is not the name of a language"),
        want_field="spec.language",
    ),
    "an empty user": Refusal(spec={"user": ""}, want_api=("spec.user",), want_field="spec.user"),
    "code that is a number": Refusal(
        spec={"code": 42}, want_api=("spec.code", "string"), want_field="spec.code"
    ),
    "a Sandbox without CPU": Refusal(
        make=make_sandbox,
        spec={"resources": {"cpu": 0}},
        want_api=("spec.resources.cpu", "below 10m", "ask for 10m or more"),
        want_field="spec.resources.cpu",
    ),
    "a Sandbox with too little CPU": Refusal(
        make=make_sandbox,
        spec={"resources": {"cpu": "9m"}},
        want_api=("spec.resources.cpu: 9m is below 10m", "ask for 10m or more"),
        want_field="spec.resources.cpu",
    ),
    "a class whose default CPU is over its maximum": Refusal(
        make=make_sandbox_class,
        spec={"defaults": {"cpu": 1.5}, "max": {"cpu": "1"}},
        want_api=("spec.defaults.cpu is more than spec.max.cpu", "raise the maximum"),
        want_field="spec.defaults.cpu",
    ),
    "a Sandbox with too little memory": Refusal(
        make=make_sandbox,
        spec={"resources": {"memory": "16777215"}},
        want_api=("spec.resources.memory", "16777215 is below 16Mi", "ask for 16Mi or more"),
        want_field="spec.resources.memory",
    ),
    "a Sandbox without disk": Refusal(
        make=make_sandbox,
        spec={"resources": {"disk": "0Gi"}},
        want_api=("spec.resources.disk", "below 1Mi"),
        want_field="spec.resources.disk",
    ),
    "a Sandbox with memory that is not a quantity": Refusal(
        make=make_sandbox,
        spec={"resources": {"memory": "1 GB"}},
        want_api=("spec.resources.memory", "1 GB is not a quantity: write it as 256Mi"),
        want_field="spec.resources.memory",
    ),
    "a Sandbox with negative CPU": Refusal(
        make=make_sandbox,
        spec={"resources": {"cpu": "-1"}},
        want_api=("spec.resources.cpu",),
        want_field="spec.resources.cpu",
    ),
    "a Sandbox that may be idle for no time": Refusal(
        make=make_sandbox,
        spec={"idleTimeoutSeconds": 0},
        want_api=_POSITIVE,
        want_field="spec.idleTimeoutSeconds",
    ),
    "a Sandbox of a network profile that cannot be a name": Refusal(
        make=make_sandbox,
        spec={"network": "The Web"},
        want_api=("spec.network",),
        want_field="spec.network",
    ),
    "a Sandbox with a workspace of nothing": Refusal(
        make=make_sandbox,
        spec={"workspace": {"persistent": True, "size": "0"}},
        want_api=("spec.workspace.size", "below 1Mi"),
        want_field="spec.workspace.size",
    ),
    "a variable with value and valueFrom": Refusal(
        make=make_sandbox,
        spec={"env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": _KEY}}]},
        want_api=("spec.env has an entry with both value and valueFrom", "remove one"),
        want_field="spec.env[0]",
    ),
    "a variable from two places": Refusal(
        make=make_sandbox,
        spec={"env": [{"name": "A", "valueFrom": {"secretKeyRef": _KEY, "configMapKeyRef": _KEY}}]},
        want_api=("env valueFrom needs exactly one of configMapKeyRef and secretKeyRef",),
        want_field="spec.env[0].valueFrom",
    ),
    "a class with a profile none": Refusal(
        make=make_sandbox_class,
        spec={"networkProfiles": [{"name": "none", "egress": []}]},
        want_api=("spec.networkProfiles has a profile named none", "choose another name"),
        want_field="spec.networkProfiles[0].name",
    ),
    "a class with a rule of cidr and dns": Refusal(
        make=make_sandbox_class,
        spec={"networkProfiles": [{"name": "a", "egress": [{"cidr": "10.0.0.0/8", "dns": True}]}]},
        want_api=("exactly one of cidr and dns", "set one and remove the other"),
        want_field="spec.networkProfiles[0].egress[0]",
    ),
    "a class with a range that is none": Refusal(
        make=make_sandbox_class,
        spec={"networkProfiles": [{"name": "a", "egress": [{"cidr": "10.0.0.0/33"}]}]},
        want_api=("cidr that is not a range of addresses", "write it as 10.1.0.0/16"),
        want_field="spec.networkProfiles[0].egress[0].cidr",
    ),
    "a class that wants to see a wall where it has none": Refusal(
        make=make_sandbox_class,
        spec={
            "network": {"requireEnforcement": True},
            "networkProfiles": [
                {"name": "ok", "egress": [{"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}]},
                {"name": "all", "egress": [{"dns": True}, {"cidr": "::/0"}]},
            ],
        },
        want_api=("nothing is forbidden that could be tried", "give the rule an except"),
        want_field="spec.networkProfiles[1]",
    ),
    "a class with an exception elsewhere": Refusal(
        make=make_sandbox_class,
        spec={
            "networkProfiles": [
                {"name": "a", "egress": [{"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}]}
            ]
        },
        want_api=("an except that does not lie within its cidr", "correct or remove it"),
        want_field="spec.networkProfiles[0].egress[0].except[0]",
    ),
    "a class with a range of ports that ends before it begins": Refusal(
        make=make_sandbox_class,
        spec={
            "networkProfiles": [
                {
                    "name": "a",
                    "egress": [{"cidr": "10.0.0.0/8", "ports": [{"port": 80, "endPort": 70}]}],
                }
            ]
        },
        want_api=("an endPort below its port", "or leave endPort out"),
        want_field="spec.networkProfiles[0].egress[0].ports[0].endPort",
    ),
    "a Sandbox with a lifetime of zero": Refusal(
        make=make_sandbox,
        spec={"lifetimeSeconds": 0},
        want_api=_POSITIVE,
        want_field="spec.lifetimeSeconds",
    ),
    "a Sandbox with no room for an Execution": Refusal(
        make=make_sandbox,
        spec={"maxConcurrentExecutions": 0},
        want_api=_POSITIVE,
        want_field="spec.maxConcurrentExecutions",
    ),
    "a Sandbox of a class that cannot be a name": Refusal(
        make=make_sandbox,
        spec={"className": "Python"},
        want_api=("spec.className",),
        want_field="spec.className",
    ),
    "a class without an image": Refusal(
        make=make_sandbox_class,
        spec={"image": None},
        want_api=("spec.image", "Required value"),
        want_field="spec.image",
    ),
    "a class without a language": Refusal(
        make=make_sandbox_class,
        spec={"interpreters": {}},
        want_api=("spec.interpreters",),
        want_field="spec.interpreters",
    ),
    "a class whose default language it does not have": Refusal(
        make=make_sandbox_class,
        spec={"defaultLanguage": "ruby"},
        want_api=("spec.defaultLanguage is not one of spec.interpreters", "name another"),
        want_field="spec.defaultLanguage",
    ),
    "a class with a language that nobody can name": Refusal(
        make=make_sandbox_class,
        spec={
            "interpreters": {"Py": {"command": ["python3"]}},
            "defaultLanguage": "Py",
        },
        want_api=("spec.interpreters has a language that no Execution can name",),
        want_field="spec.interpreters",
    ),
    "a class with a default over its maximum": Refusal(
        make=make_sandbox_class,
        spec={"defaults": {"memory": "3Gi"}},
        want_api=("spec.defaults.memory is more than spec.max.memory", "raise the maximum"),
        want_field="spec.defaults.memory",
    ),
    "a class with a default timeout over its maximum": Refusal(
        make=make_sandbox_class,
        spec={"defaults": {"timeoutSeconds": 61}, "max": {"timeoutSeconds": 60}},
        want_api=("spec.defaults.timeoutSeconds is more than spec.max.timeoutSeconds",),
        want_field="spec.defaults.timeoutSeconds",
    ),
    "a class that requests no CPU": Refusal(
        make=make_sandbox_class,
        spec={"cpuRequestPercent": 0},
        want_api=("spec.cpuRequestPercent",),
        want_field="spec.cpuRequestPercent",
    ),
    "a class with an unknown medium": Refusal(
        make=make_sandbox_class,
        spec={"workspaceMedium": "Tape"},
        want_api=("spec.workspaceMedium", '"Disk", "Memory"'),
        want_field="spec.workspaceMedium",
    ),
    "function with both code and codeFrom": Refusal(
        make=make_function,
        spec={"codeFrom": {"configMapKeyRef": _KEY}},
        want_api=_ONE_CODE_OF_TWO,
        want_field="spec",
    ),
    "function with neither code nor codeFrom": Refusal(
        make=make_function, spec={"code": None}, want_api=_ONE_CODE_OF_TWO, want_field="spec"
    ),
    "function with codeFrom of both keys": Refusal(
        make=make_function,
        spec={"code": None, "codeFrom": {"configMapKeyRef": _KEY, "secretKeyRef": _KEY}},
        want_api=_ONE_KEY,
        want_field="spec.codeFrom",
    ),
    "function whose handler is no identifier": Refusal(
        make=make_function,
        spec={"handler": "module.main"},
        want_api=("spec.handler is not the name of a function", "such as main"),
        want_field="spec.handler",
    ),
    "function whose version is no version": Refusal(
        make=make_function,
        spec={"version": "v1.2"},
        want_api=("spec.version v1.2 is not a version such as 1.2.0", "versions are counted"),
        want_field="spec.version",
    ),
    "function whose version has build metadata": Refusal(
        make=make_function,
        spec={"version": "1.2.0+amd64"},
        want_api=("without build metadata",),
        want_field="spec.version",
    ),
    "tool without description": Refusal(
        make=make_function,
        spec={"tool": {"title": "Resize"}},
        want_api=("spec.tool needs spec.description", "say what the tool does"),
        want_field="spec.description",
    ),
    "input's schema whose top is no object": Refusal(
        make=make_function,
        spec={"inputSchema": {"type": "array"}},
        want_api=("spec.inputSchema describes no object", "set its type to object"),
        want_field="spec.inputSchema",
    ),
    "input's schema that says no type": Refusal(
        make=make_function,
        spec={"inputSchema": {"properties": {}}},
        want_api=("spec.inputSchema describes no object", "set its type to object"),
        want_field="spec.inputSchema",
    ),
    "function that keeps more Sandboxes than it may have": Refusal(
        make=make_function,
        spec={"scale": {"min": 2, "max": 1}},
        want_api=("spec.scale.min is above spec.scale.max", "lower min, or raise max"),
        want_field="spec.scale.min",
    ),
    "function with 262145 bytes of code": Refusal(
        make=make_function,
        spec={"code": "é" * 131_072 + "x"},
        want_api=("spec.code is larger than 262144 bytes", "move data into files"),
        want_field="spec.code",
    ),
    "function with too much in all": Refusal(
        make=make_function,
        spec={
            "code": "x" * 200_000,
            "files": [{"path": "a", "content": "x" * 200_000}],
        },
        want_api=("spec holds more than 393216 bytes in code, files and env together",),
        want_field="spec",
    ),
    "tool with 17 tags": Refusal(
        make=make_function,
        spec={"description": "d", "tool": {"tags": [f"t{n}" for n in range(17)]}},
        want_api=("spec.tool.tags", "must have at most 16 items"),
        want_field="spec.tool.tags",
    ),
    "tool with a category that no list can show": Refusal(
        make=make_function,
        spec={"description": "d", "tool": {"category": "a\nb"}},
        want_api=("spec.tool.category begins or ends with a blank", "correct it"),
        want_field="spec.tool.category",
    ),
}
