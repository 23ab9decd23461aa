"""Manifests to specs: what is taken over, what is refused and with which words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.execution.spec import parse_execution
from soulbox.kinds.function.spec import parse_function
from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.kinds.sandbox_class.spec import parse_sandbox_class
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import (
    CodeFrom,
    CodeSource,
    DnsServers,
    EnvVar,
    ExecutionSpec,
    FileEncoding,
    InputFile,
    Interpreter,
    Limits,
    PodUser,
    Resources,
    SandboxSpec,
    Toleration,
    WorkspaceMedium,
)
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class
from tests.support.refusals import REFUSALS, Refusal

PARSERS = {
    "SandboxClass": parse_sandbox_class,
    "Sandbox": parse_sandbox,
    "Execution": parse_execution,
    "Function": parse_function,
}
MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_manifest_names_field_and_remedy(refusal: Refusal) -> None:
    manifest = refusal.make(**refusal.spec)

    with pytest.raises(InvalidManifest) as caught:
        PARSERS[manifest["kind"]](manifest)

    error = caught.value
    assert error.field == refusal.want_field
    assert error.problem
    assert error.remedy
    assert str(error) == f"{error.field}: {error.problem}; {error.remedy}"


def test_execution_that_asks_for_everything() -> None:
    manifest = make_execution(
        sandboxRef=None,
        className="python",
        code=None,
        codeFrom={"secretKeyRef": {"name": "code", "key": "main.py"}},
        language="python",
        files=[
            {"path": "a/b.txt", "content": "text", "mode": 0o750},
            {"path": "c.bin", "content": "AAE=", "encoding": "base64"},
        ],
        args=["--fast", ""],
        stdin="",
        env=[{"name": "A", "value": "1"}, {"name": "B"}],
        timeoutSeconds=5,
        cancel=True,
        ttlSecondsAfterFinished=0,
        user="ada",
    )

    assert parse_execution(manifest) == ExecutionSpec(
        class_name="python",
        language="python",
        code_from=CodeFrom(source=CodeSource.SECRET, name="code", key="main.py"),
        files=(
            InputFile(path="a/b.txt", content="text", mode=0o750),
            InputFile(path="c.bin", content="AAE=", encoding=FileEncoding.BASE64),
        ),
        args=("--fast", ""),
        stdin="",
        env=(EnvVar(name="A", value="1"), EnvVar(name="B", value="")),
        timeout_seconds=5,
        cancel=True,
        ttl_seconds_after_finished=0,
        user="ada",
    )


def test_execution_that_asks_for_nothing_more() -> None:
    assert parse_execution(make_execution()) == ExecutionSpec(sandbox_name="box", code="print(42)")


def test_code_from_config_map() -> None:
    code_from = {"configMapKeyRef": {"name": "code", "key": "main.py"}}

    spec = parse_execution(make_execution(code=None, codeFrom=code_from))

    assert spec.code_from == CodeFrom(source=CodeSource.CONFIG_MAP, name="code", key="main.py")


def test_sandbox_without_a_spec_gets_every_default() -> None:
    assert parse_sandbox({"metadata": {"name": "box"}}) == SandboxSpec(class_name="python")


def test_sandbox_that_asks_for_everything() -> None:
    manifest = make_sandbox(
        className="gpu",
        resources={"cpu": 1, "memory": "512Mi", "disk": "1e9"},
        env=[{"name": "A", "value": "1"}],
        lifetimeSeconds=60,
        defaultTimeoutSeconds=5,
        maxConcurrentExecutions=3,
        user="ada",
    )

    assert parse_sandbox(manifest) == SandboxSpec(
        class_name="gpu",
        resources=Resources(cpu_millicores=1000, memory_bytes=512 * MIB, disk_bytes=1_000_000_000),
        env=(EnvVar(name="A", value="1"),),
        lifetime_seconds=60,
        default_timeout_seconds=5,
        max_concurrent_executions=3,
        user="ada",
    )


def test_class_with_only_what_is_required_gets_the_crds_defaults() -> None:
    spec = parse_sandbox_class(make_sandbox_class())

    assert spec.interpreters == {"python": Interpreter(command=("python3",), extension=".py")}
    assert spec.defaults.limits == Limits(
        cpu_millicores=250, memory_bytes=256 * MIB, disk_bytes=GIB
    )
    assert spec.defaults.timeout_seconds == 300
    assert spec.max.limits == Limits(cpu_millicores=2000, memory_bytes=2 * GIB, disk_bytes=10 * GIB)
    assert (spec.max.pids, spec.max.concurrency) == (128, 16)
    assert (spec.max.timeout_seconds, spec.max.lifetime_seconds) == (86_400, 604_800)
    assert spec.max.output_bytes == 10_485_760
    assert spec.cpu_request_percent == 25
    assert spec.workspace_medium is WorkspaceMedium.DISK
    assert spec.image_pull_policy is None
    assert spec.runtime_class_name is None
    assert spec.replace_lost_pods is True
    assert spec.sku == "standard"
    assert (spec.node_selector, spec.tolerations, spec.env) == ({}, (), ())


def test_class_that_says_everything() -> None:
    spec = parse_sandbox_class(
        make_sandbox_class(
            imagePullPolicy="Never",
            runtimeClassName="gvisor",
            workspaceMedium="Memory",
            nodeSelector={"pool": "sandboxes"},
            tolerations=[{"key": "sandboxes", "operator": "Exists", "tolerationSeconds": 5}],
            sku="gpu",
            env=[{"name": "PYTHONUNBUFFERED", "value": "1"}],
            replaceLostPods=False,
            cpuRequestPercent=100,
            diskRequestPercent=10,
            priorityClassName="low",
            doNotDisrupt=True,
            imagePullSecrets=["registry"],
            podUser="Platform",
            network={"requireEnforcement": True},
            networkProfiles=[
                {"name": "web", "egress": [{"dns": True, "dnsServers": {"namespace": "dns"}}]}
            ],
        )
    )

    assert (spec.image_pull_policy, spec.runtime_class_name) == ("Never", "gvisor")
    assert spec.workspace_medium is WorkspaceMedium.MEMORY
    assert spec.node_selector == {"pool": "sandboxes"}
    assert spec.tolerations == (
        Toleration(key="sandboxes", operator="Exists", toleration_seconds=5),
    )
    assert spec.env == (EnvVar(name="PYTHONUNBUFFERED", value="1"),)
    assert (spec.sku, spec.replace_lost_pods, spec.cpu_request_percent) == ("gpu", False, 100)
    assert (spec.disk_request_percent, spec.priority_class_name) == (10, "low")
    assert (spec.do_not_disrupt, spec.image_pull_secrets) == (True, ("registry",))
    assert spec.pod_user is PodUser.PLATFORM
    assert spec.require_enforcement
    (dns,) = spec.network_profiles[0].egress
    assert dns.dns_servers == DnsServers(namespace="dns")


@pytest.mark.parametrize(
    ("resources", "want_field"),
    [
        ({"defaults": {"cpu": "x"}}, "spec.defaults.cpu"),
        ({"max": {"disk": "9Ei"}}, "spec.max.disk"),
        ({"defaults": {"memory": "1Mi"}}, "spec.defaults.memory"),
        ({"defaults": {"disk": "11Gi"}}, "spec.defaults.disk"),
        ({"defaults": {"cpu": 3}}, "spec.defaults.cpu"),
    ],
)
def test_class_with_absurd_limits_is_refused(resources: dict[str, Any], want_field: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        parse_sandbox_class(make_sandbox_class(**resources))
    assert caught.value.field == want_field


def test_input_of_exactly_the_bound_is_taken() -> None:
    spec = parse_execution(make_execution(code="é" * 131_072, stdin="b" * 131_072))
    assert len((spec.code or "").encode()) == 262_144


@pytest.mark.parametrize("content", ["AAE", "AA E=", "AAE=\n", "-_-_", "é", "="], ids=repr)
def test_file_that_is_not_base64_is_refused(content: str) -> None:
    file = {"path": "a", "content": content, "encoding": "base64"}
    with pytest.raises(InvalidManifest) as caught:
        parse_execution(make_execution(files=[file]))
    assert caught.value.field == "spec.files[0].content"
    assert "base64 -w0" in caught.value.remedy


def test_refusal_never_repeats_the_input() -> None:
    secret = "hunter2"
    for changes in (
        {"code": [secret]},
        {"env": [{"name": "A", "value": {"x": secret}}]},
        {"files": [{"path": "a", "content": secret, "encoding": "base64"}]},
        {"timeoutSeconds": secret},
    ):
        with pytest.raises(InvalidManifest) as caught:
            parse_execution(make_execution(**changes))
        assert secret not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "user",
    ["ada", "a", "ada@example.com", "https://issuer/#ada", "Ada Lovelace", "system:node:1", "é"],
)
def test_names_that_authenticators_give_are_users(user: str) -> None:
    assert parse_execution(make_execution(user=user)).user == user


def test_unknown_fields_of_a_newer_schema_are_ignored() -> None:
    assert parse_execution(make_execution(mood="good")) == parse_execution(make_execution())


def test_lone_surrogate_does_not_crash_the_size_check() -> None:
    refusal = _refusal("Execution", make_execution(stdin="\ud800"))
    assert refusal is None or refusal.field == "spec.stdin"


def test_parsing_leaves_the_manifest_alone() -> None:
    manifest = make_execution(files=[{"path": "a", "content": "b"}], args=["c"])
    before = copy.deepcopy(manifest)
    parse_execution(manifest)
    assert manifest == before


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=10,
)
_FIELDS = st.sampled_from(
    [
        "sandboxRef", "className", "language", "code", "codeFrom", "files", "args", "stdin",
        "env", "timeoutSeconds", "cancel", "ttlSecondsAfterFinished", "user", "resources",
        "image", "interpreters", "defaultLanguage", "defaults", "max", "tolerations",
        "nodeSelector", "workspaceMedium",
    ]
)  # fmt: skip


@given(spec=st.dictionaries(_FIELDS, _JSON) | _JSON, kind=st.sampled_from(sorted(PARSERS)))
def test_whatever_is_stored_parses_or_is_refused(spec: Any, kind: str) -> None:
    refusal = _refusal(kind, {"spec": spec})
    if refusal is not None:
        assert refusal.field.startswith("spec")
        assert len(refusal.field) <= 256


def _refusal(kind: str, manifest: dict[str, Any]) -> InvalidManifest | None:
    try:
        PARSERS[kind](manifest)
    except InvalidManifest as error:
        return error
    return None
