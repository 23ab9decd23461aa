"""A SandboxClass as the API server stores it, to `model.specs.SandboxClassSpec`."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from soulbox.kinds.sandbox_class import crd as sandbox_class
from soulbox.kinds.sandbox_class import crd_limits, crd_network
from soulbox.model import specs
from soulbox.model.errors import InvalidManifest
from soulbox.schema import common
from soulbox.schema.parse import (
    MIN_DISK_BYTES,
    MIN_MEMORY_BYTES,
    to_bytes,
    to_env,
    to_millicores,
    validate_spec,
)


def parse_sandbox_class(manifest: Mapping[str, Any]) -> specs.SandboxClassSpec:
    """The spec of a SandboxClass.

    Raises:
        InvalidManifest: the stored object is malformed; says which field.
    """
    spec = validate_spec(sandbox_class.SandboxClassSpec, manifest)
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
        env=to_env(spec.env),
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


def _class_defaults(defaults: crd_limits.ClassDefaults) -> specs.ClassDefaults:
    return specs.ClassDefaults(
        limits=_limits("spec.defaults", defaults), timeout_seconds=defaults.timeout_seconds
    )


def _class_max(maximum: crd_limits.ClassMax) -> specs.ClassMax:
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


def _limits(field: str, limits: crd_limits.ClassDefaults | crd_limits.ClassMax) -> specs.Limits:
    return specs.Limits(
        cpu_millicores=to_millicores(f"{field}.cpu", limits.cpu),
        memory_bytes=to_bytes(f"{field}.memory", limits.memory, MIN_MEMORY_BYTES),
        disk_bytes=to_bytes(f"{field}.disk", limits.disk, MIN_DISK_BYTES),
    )


def _profiles(
    profiles: Iterable[crd_network.NetworkProfile],
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


def _egress(field: str, rule: crd_network.Egress) -> specs.Egress:
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


def _dns_servers(field: str, rule: crd_network.Egress) -> specs.DnsServers | None:
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
