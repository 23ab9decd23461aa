"""Manifests as the API server stores them to the dataclasses of `model.specs`.

The API server has validated what it stores, but against the CRD of that time; here every rule is
checked again, and a malformed object becomes an `InvalidManifest` that names the field, never a
crash. Pure, and cheap enough to run on every event (about 20 µs).
"""

import binascii
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from soulbox.model import specs
from soulbox.model.errors import InvalidManifest
from soulbox.model.quantity import parse_bytes, parse_millicores
from soulbox.schema.crds import common, execution, sandbox, sandbox_class

_Spec = TypeVar("_Spec", bound=common.ApiModel)
_MIN_MILLICORES = parse_millicores(common.MIN_CPU)
_MIN_MEMORY_BYTES = parse_bytes(common.MIN_MEMORY)
_MIN_DISK_BYTES = parse_bytes(common.MIN_DISK)


def parse_sandbox_class(manifest: Mapping[str, Any]) -> specs.SandboxClassSpec:
    """The spec of a SandboxClass.

    Raises:
        InvalidManifest: the stored object is malformed; says which field.
    """
    spec = _validate(sandbox_class.SandboxClassSpec, manifest)
    if spec.default_language not in spec.interpreters:
        raise InvalidManifest(
            "spec.defaultLanguage",
            "is not one of spec.interpreters",
            "add it there or name another",
        )
    for language in spec.interpreters:
        if len(language) > 63 or not re.fullmatch(common.LANGUAGE_PATTERN, language):
            raise InvalidManifest(
                "spec.interpreters",
                "has a language that no Execution can name",
                "use at most 63 of a-z, 0-9, '+', '.', '#' and '-', with a letter first",
            )
    defaults, maximum = _class_defaults(spec.defaults), _class_max(spec.max)
    _refuse_over_max(defaults, maximum)
    profiles = _profiles(spec.network_profiles)
    if spec.network.require_enforcement:
        _refuse_all_allowed(profiles)
    return specs.SandboxClassSpec(
        image=spec.image,
        image_pull_policy=spec.image_pull_policy,
        interpreters={
            language: specs.Interpreter(command=tuple(each.command), extension=each.extension)
            for language, each in spec.interpreters.items()
        },
        default_language=spec.default_language,
        runtime_class_name=spec.runtime_class_name,
        defaults=defaults,
        max=maximum,
        cpu_request_percent=spec.cpu_request_percent,
        workspace_medium=spec.workspace_medium,
        node_selector=spec.node_selector,
        tolerations=tuple(
            specs.Toleration(
                key=each.key,
                operator=each.operator,
                value=each.value,
                effect=each.effect,
                toleration_seconds=each.toleration_seconds,
            )
            for each in spec.tolerations
        ),
        sku=spec.sku,
        env=_env(spec.env),
        replace_lost_pods=spec.replace_lost_pods,
        log_output=spec.log_output,
        network_profiles=profiles,
        disk_request_percent=spec.disk_request_percent,
        priority_class_name=spec.priority_class_name,
        do_not_disrupt=spec.do_not_disrupt,
        image_pull_secrets=tuple(spec.image_pull_secrets),
        pod_user=spec.pod_user,
        require_enforcement=spec.network.require_enforcement,
    )


def parse_sandbox(manifest: Mapping[str, Any]) -> specs.SandboxSpec:
    """The spec of a Sandbox.

    Raises:
        InvalidManifest: the stored object is malformed; says which field.
    """
    spec = _validate(sandbox.SandboxSpec, manifest)
    return specs.SandboxSpec(
        class_name=spec.class_name,
        resources=_resources(spec.resources),
        env=_sourced_env(spec.env),
        lifetime_seconds=spec.lifetime_seconds,
        idle_timeout_seconds=spec.idle_timeout_seconds,
        suspend=spec.suspend,
        workspace=None
        if spec.workspace is None or not spec.workspace.persistent
        else specs.Workspace(
            size_bytes=None
            if spec.workspace.size is None
            else _bytes("spec.workspace.size", spec.workspace.size, _MIN_DISK_BYTES),
            storage_class_name=spec.workspace.storage_class_name,
        ),
        network=spec.network,
        default_timeout_seconds=spec.default_timeout_seconds,
        max_concurrent_executions=spec.max_concurrent_executions,
        user=_user(spec.user),
    )


def parse_execution(manifest: Mapping[str, Any]) -> specs.ExecutionSpec:
    """The spec of an Execution.

    Raises:
        InvalidManifest: the stored object is malformed; says which field.
    """
    spec = _validate(execution.ExecutionSpec, manifest)
    if (spec.sandbox_ref is None) == (spec.class_name is None):
        raise InvalidManifest(
            "spec", "needs exactly one of sandboxRef and className", "set one and remove the other"
        )
    if (spec.code is None) == (spec.code_from is None):
        raise InvalidManifest(
            "spec", "needs exactly one of code and codeFrom", "set one and remove the other"
        )
    if spec.resources is not None and spec.class_name is None:
        raise InvalidManifest(
            "spec.resources", "is for a pod of its own", "give the Sandbox what it needs"
        )
    if spec.language is not None and not re.fullmatch(common.LANGUAGE_PATTERN, spec.language):
        raise InvalidManifest(
            "spec.language",
            "is not the name of a language",
            "begin with a lower-case letter, then use a-z, 0-9, '+', '.', '#' and '-'",
        )
    _refuse_same_path(spec.files)
    env = _sourced_env(spec.env)
    for index, argument in enumerate(spec.args):
        _refuse_nul(f"spec.args[{index}]", argument)
    _check_sizes(spec)
    return specs.ExecutionSpec(
        sandbox_name=None if spec.sandbox_ref is None else spec.sandbox_ref.name,
        class_name=spec.class_name,
        language=spec.language,
        code=spec.code,
        code_from=None if spec.code_from is None else _key_source("spec.codeFrom", spec.code_from),
        files=tuple(_input_file(index, each) for index, each in enumerate(spec.files)),
        args=tuple(spec.args),
        stdin=spec.stdin,
        env=env,
        resources=specs.Resources() if spec.resources is None else _resources(spec.resources),
        timeout_seconds=spec.timeout_seconds,
        queue_timeout_seconds=spec.queue_timeout_seconds,
        output_limit_bytes=spec.output_limit_bytes,
        capture_files=tuple(_glob(index, each) for index, each in enumerate(spec.capture_files)),
        priority=spec.priority,
        idempotent=spec.idempotent,
        cancel=spec.cancel,
        ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
        user=_user(spec.user),
    )


def _validate(model: type[_Spec], manifest: Mapping[str, Any]) -> _Spec:
    spec = manifest.get("spec")
    try:
        # A missing spec counts as an empty one: a Sandbox needs no more; other kinds report what is
        # missing.
        return model.model_validate({} if spec is None else spec)
    except ValidationError as error:
        # The first finding only, and never the input: it may be code or a secret.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = "spec" + "".join(
            f"[{part}]" if isinstance(part, int) else f".{part[:64]}" for part in first["loc"]
        )
        raise InvalidManifest(
            field[:256],
            first["msg"][:256],
            "correct the field as kubectl explain describes it",
        ) from None


def _class_defaults(defaults: sandbox_class.ClassDefaults) -> specs.ClassDefaults:
    return specs.ClassDefaults(
        limits=_limits("spec.defaults", defaults), timeout_seconds=defaults.timeout_seconds
    )


def _class_max(maximum: sandbox_class.ClassMax) -> specs.ClassMax:
    return specs.ClassMax(
        limits=_limits("spec.max", maximum),
        pids=maximum.pids,
        timeout_seconds=maximum.timeout_seconds,
        lifetime_seconds=maximum.lifetime_seconds,
        output_bytes=maximum.output_bytes,
        concurrency=maximum.concurrency,
    )


def _refuse_over_max(defaults: specs.ClassDefaults, maximum: specs.ClassMax) -> None:
    limits, most = defaults.limits, maximum.limits
    for name, value, bound in (
        ("cpu", limits.cpu_millicores, most.cpu_millicores),
        ("memory", limits.memory_bytes, most.memory_bytes),
        ("disk", limits.disk_bytes, most.disk_bytes),
        ("timeoutSeconds", defaults.timeout_seconds, maximum.timeout_seconds),
    ):
        if value > bound:
            raise InvalidManifest(
                f"spec.defaults.{name}",
                f"is more than spec.max.{name}",
                "lower it or raise the maximum",
            )


def _limits(
    field: str, limits: sandbox_class.ClassDefaults | sandbox_class.ClassMax
) -> specs.Limits:
    return specs.Limits(
        cpu_millicores=_millicores(f"{field}.cpu", limits.cpu),
        memory_bytes=_bytes(f"{field}.memory", limits.memory, _MIN_MEMORY_BYTES),
        disk_bytes=_bytes(f"{field}.disk", limits.disk, _MIN_DISK_BYTES),
    )


def _millicores(field: str, text: float | str) -> int:
    try:
        value = parse_millicores(text)
    except ValueError as error:
        raise InvalidManifest(field, str(error), "write it as 250m or 2") from None
    if value < _MIN_MILLICORES:
        raise InvalidManifest(
            field, f"is below {common.MIN_CPU}", f"ask for {common.MIN_CPU} or more"
        )
    return value


def _bytes(field: str, text: float | str, minimum_bytes: int) -> int:
    try:
        value = parse_bytes(text)
    except ValueError as error:
        raise InvalidManifest(field, str(error), "write it as 256Mi or 1Gi") from None
    if value < minimum_bytes:
        raise InvalidManifest(
            field, f"is below {minimum_bytes} bytes", f"ask for {minimum_bytes} or more"
        )
    return value


def _env(entries: Iterable[common.EnvVar]) -> tuple[specs.EnvVar, ...]:
    env = tuple(specs.EnvVar(name=entry.name, value=entry.value) for entry in entries)
    seen: set[str] = set()
    for index, entry in enumerate(env):
        field = f"spec.env[{index}]"
        if not common.ENV_NAME.fullmatch(entry.name):
            raise InvalidManifest(
                f"{field}.name",
                "is not a legal name of a variable",
                "use letters, digits, '_', '-' and '.', and do not start with a digit",
            )
        if entry.name in seen:
            raise InvalidManifest(f"{field}.name", "is there twice", "remove one of the two")
        seen.add(entry.name)
        _refuse_nul(f"{field}.value", entry.value)
    return env


def _resources(asked: common.Resources) -> specs.Resources:
    return specs.Resources(
        cpu_millicores=None if asked.cpu is None else _millicores("spec.resources.cpu", asked.cpu),
        memory_bytes=None
        if asked.memory is None
        else _bytes("spec.resources.memory", asked.memory, _MIN_MEMORY_BYTES),
        disk_bytes=None
        if asked.disk is None
        else _bytes("spec.resources.disk", asked.disk, _MIN_DISK_BYTES),
    )


def _sourced_env(
    entries: Iterable[common.SourcedEnvVar],
) -> tuple[specs.EnvVar | specs.EnvFrom, ...]:
    entries = tuple(entries)
    found: list[specs.EnvVar | specs.EnvFrom] = []
    for index, (entry, plain) in enumerate(zip(entries, _env(entries), strict=True)):
        if entry.value_from is None:
            found.append(plain)
            continue
        field = f"spec.env[{index}]"
        if entry.value:
            raise InvalidManifest(field, "has both value and valueFrom", "remove one")
        source = _key_source(f"{field}.valueFrom", entry.value_from)
        found.append(specs.EnvFrom(name=entry.name, value_from=source))
    return tuple(found)


def _profiles(
    profiles: Iterable[sandbox_class.NetworkProfile],
) -> tuple[specs.NetworkProfile, ...]:
    found: dict[str, specs.NetworkProfile] = {}
    for index, profile in enumerate(profiles):
        field = f"spec.networkProfiles[{index}]"
        if profile.name == specs.NO_NETWORK.name or profile.name in found:
            raise InvalidManifest(f"{field}.name", "is there already", "name it otherwise")
        egress = tuple(
            _egress(f"{field}.egress[{number}]", rule) for number, rule in enumerate(profile.egress)
        )
        found[profile.name] = specs.NetworkProfile(name=profile.name, egress=egress)
    return tuple(found.values())


def _refuse_all_allowed(profiles: Iterable[specs.NetworkProfile]) -> None:
    """What forbids nothing cannot be seen to hold."""
    for index, profile in enumerate(profiles):
        for rule in profile.egress:
            if (rule.cidr or "").endswith("/0") and not rule.excluded and not rule.ports:
                raise InvalidManifest(
                    f"spec.networkProfiles[{index}]",
                    "allows every address and port, so that spec.network.requireEnforcement has"
                    " nothing to try",
                    "give the rule an except with the cluster's addresses, or ports",
                )


def _egress(field: str, rule: sandbox_class.Egress) -> specs.Egress:
    if (rule.cidr is not None) == rule.dns:
        raise InvalidManifest(
            field, "needs exactly one of cidr and dns", "set one and remove the other"
        )
    if rule.cidr is not None:
        outer = _network(f"{field}.cidr", rule.cidr)
        for number, text in enumerate(rule.except_):
            inner = _network(f"{field}.except[{number}]", text)
            if inner.version != outer.version or not inner.subnet_of(outer):  # type: ignore[arg-type]
                raise InvalidManifest(
                    f"{field}.except[{number}]", "does not lie within cidr", "correct or remove it"
                )
    for number, each in enumerate(rule.ports):
        if each.end_port is not None and each.end_port < each.port:
            raise InvalidManifest(
                f"{field}.ports[{number}].endPort",
                "is below port",
                "give the last port of the range, or leave it out",
            )
    return specs.Egress(
        cidr=rule.cidr,
        excluded=tuple(rule.except_),
        ports=tuple(
            specs.Port(port=each.port, end_port=each.end_port, protocol=each.protocol)
            for each in rule.ports
        ),
        dns=rule.dns,
        dns_servers=_dns_servers(field, rule),
    )


def _dns_servers(field: str, rule: sandbox_class.Egress) -> specs.DnsServers | None:
    servers = rule.dns_servers
    if servers is None:
        return None
    if not rule.dns:
        raise InvalidManifest(f"{field}.dnsServers", "is there without dns", "set dns: true")
    for number, text in enumerate(servers.cidrs):
        _network(f"{field}.dnsServers.cidrs[{number}]", text)
    return specs.DnsServers(
        namespace=servers.namespace,
        pod_labels=servers.pod_labels,
        cidrs=tuple(servers.cidrs),
    )


def _network(field: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise InvalidManifest(
            field, "is not a range of addresses", "write it as 10.1.0.0/16"
        ) from None


def _refuse_nul(field: str, text: str) -> None:
    if "\0" in text:
        raise InvalidManifest(
            field, "holds a NUL character, which no program can be given", "remove it"
        )


def _user(user: str | None) -> str | None:
    if user is not None and common.USER.fullmatch(user) is None:
        raise InvalidManifest(
            "spec.user",
            "begins with =, +, - or @, begins or ends with a blank, or holds a control character",
            "name it otherwise",
        )
    return user


def _size_bytes(text: str) -> int:
    # A lone surrogate cannot be encoded strictly. The API server stores none, but computing a size
    # must not fail.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _check_sizes(spec: execution.ExecutionSpec) -> None:
    code_bytes = _size_bytes(spec.code or "")
    if code_bytes > specs.MAX_CODE_BYTES:
        raise InvalidManifest(
            "spec.code",
            f"is larger than {specs.MAX_CODE_BYTES} bytes",
            "shorten it, or move data into files",
        )
    total_bytes = (
        code_bytes
        + _size_bytes(spec.stdin or "")
        + sum(_size_bytes(each.content) for each in spec.files)
        + sum(_size_bytes(each) for each in spec.args)
        + sum(_size_bytes(each.value) for each in spec.env)
    )
    if total_bytes > specs.MAX_INPUT_BYTES:
        raise InvalidManifest(
            "spec",
            f"holds more than {specs.MAX_INPUT_BYTES} bytes in code, files, args, stdin and env",
            "give less input",
        )


def _key_source(field: str, reference: execution.CodeFrom | common.ValueFrom) -> specs.KeySource:
    config_map, secret = reference.config_map_key_ref, reference.secret_key_ref
    if config_map is not None and secret is None:
        return specs.KeySource(
            source=specs.CodeSource.CONFIG_MAP, name=config_map.name, key=config_map.key
        )
    if secret is not None and config_map is None:
        return specs.KeySource(source=specs.CodeSource.SECRET, name=secret.name, key=secret.key)
    raise InvalidManifest(
        field,
        "needs exactly one of configMapKeyRef and secretKeyRef",
        "set one and remove the other",
    )


def _refuse_same_path(files: Iterable[execution.InputFile]) -> None:
    seen: set[str] = set()
    for index, file in enumerate(files):
        if file.path in seen:
            raise InvalidManifest(
                f"spec.files[{index}].path", "is there twice", "remove one of the two"
            )
        seen.add(file.path)


def _glob(index: int, glob: str) -> str:
    field = f"spec.captureFiles[{index}]"
    if any(part in ("", ".", "..") for part in glob.split("/")):
        raise InvalidManifest(
            field,
            "leaves the workspace or is not plain",
            "make it relative, without '.', '..' and empty parts",
        )
    _refuse_nul(field, glob)
    if re.fullmatch(execution.GLOB_PATTERN, glob) is None:
        raise InvalidManifest(field, "is not a glob", "use *, ?, ** and [a-z]; [[] is a bracket")
    return glob


def _input_file(index: int, file: execution.InputFile) -> specs.InputFile:
    field = f"spec.files[{index}]"
    if any(part in ("", ".", "..") for part in file.path.split("/")):
        raise InvalidManifest(
            f"{field}.path",
            "leaves the workspace or is not plain",
            "make it relative, without '.', '..' and empty parts",
        )
    if "\0" in file.path or file.path.startswith(specs.RESERVED_PATH_PREFIX):
        raise InvalidManifest(
            f"{field}.path",
            f"holds NUL or starts with {specs.RESERVED_PATH_PREFIX}, which is the runner's own",
            "name it otherwise",
        )
    if any(len(part.encode()) > execution.MAX_NAME_BYTES for part in file.path.split("/")):
        raise InvalidManifest(
            f"{field}.path",
            f"has a name longer than {execution.MAX_NAME_BYTES} bytes",
            "shorten it; a letter outside ASCII takes two to four bytes",
        )
    if file.encoding is specs.FileEncoding.BASE64:
        try:
            binascii.a2b_base64(file.content.encode("ascii"), strict_mode=True)
        except ValueError:  # UnicodeEncodeError and binascii.Error are both one
            raise InvalidManifest(
                f"{field}.content",
                "is not base64 (RFC 4648, without line breaks)",
                "encode it with base64 -w0",
            ) from None
    return specs.InputFile(
        path=file.path, content=file.content, encoding=file.encoding, mode=file.mode
    )
