"""Parts of specs that several kinds share, to the dataclasses of `model.specs`.

The API server has validated what it stores, but against the CRD of that time; here every rule is
checked again, and a malformed object becomes an `InvalidManifest` that names the field, never a
crash. Pure, and cheap enough to run on every event (about 20 µs).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from soulbox.model import specs
from soulbox.model.errors import InvalidManifest
from soulbox.model.quantity import parse_bytes, parse_millicores
from soulbox.schema import common

_Spec = TypeVar("_Spec", bound=common.ApiModel)
_MIN_MILLICORES: Final = parse_millicores(common.MIN_CPU)
MIN_MEMORY_BYTES: Final = parse_bytes(common.MIN_MEMORY)
MIN_DISK_BYTES: Final = parse_bytes(common.MIN_DISK)


class _KeyReference(Protocol):
    @property
    def config_map_key_ref(self) -> common.KeyRef | None: ...

    @property
    def secret_key_ref(self) -> common.KeyRef | None: ...


def validate_spec(model: type[_Spec], manifest: Mapping[str, Any]) -> _Spec:
    """The spec as its model has it.

    Raises:
        InvalidManifest: it does not fit; names the first field.
    """
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


def to_millicores(field: str, text: float | str) -> int:
    """CPU in thousandths of a core.

    Raises:
        InvalidManifest: it is no quantity, or below the minimum.
    """
    try:
        value = parse_millicores(text)
    except ValueError as error:
        raise InvalidManifest(field, str(error), "write it as 250m or 2") from None
    if value < _MIN_MILLICORES:
        raise InvalidManifest(
            field, f"is below {common.MIN_CPU}", f"ask for {common.MIN_CPU} or more"
        )
    return value


def to_bytes(field: str, text: float | str, minimum_bytes: int) -> int:
    """A size in bytes.

    Raises:
        InvalidManifest: it is no quantity, or below the minimum.
    """
    try:
        value = parse_bytes(text)
    except ValueError as error:
        raise InvalidManifest(field, str(error), "write it as 256Mi or 1Gi") from None
    if value < minimum_bytes:
        raise InvalidManifest(
            field, f"is below {minimum_bytes} bytes", f"ask for {minimum_bytes} or more"
        )
    return value


def to_env(entries: Iterable[common.EnvVar]) -> tuple[specs.EnvVar, ...]:
    """Variables with their values.

    Raises:
        InvalidManifest: a name or value that no program can be given, or a name given twice.
    """
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
            raise InvalidManifest(f"{field}.name", "occurs twice", "remove one of the two")
        seen.add(entry.name)
        refuse_nul(f"{field}.value", entry.value)
    return env


def to_resources(asked: common.Resources) -> specs.Resources:
    """What a spec asks for.

    Raises:
        InvalidManifest: see to_bytes.
    """
    return specs.Resources(
        cpu_millicores=None
        if asked.cpu is None
        else to_millicores("spec.resources.cpu", asked.cpu),
        memory_bytes=None
        if asked.memory is None
        else to_bytes("spec.resources.memory", asked.memory, MIN_MEMORY_BYTES),
        disk_bytes=None
        if asked.disk is None
        else to_bytes("spec.resources.disk", asked.disk, MIN_DISK_BYTES),
    )


def to_sourced_env(
    entries: Iterable[common.SourcedEnvVar],
) -> tuple[specs.EnvVar | specs.EnvFrom, ...]:
    """Variables with their values, or where those lie.

    Raises:
        InvalidManifest: see to_env and to_key_source.
    """
    entries = tuple(entries)
    found: list[specs.EnvVar | specs.EnvFrom] = []
    for index, (entry, plain) in enumerate(zip(entries, to_env(entries), strict=True)):
        if entry.value_from is None:
            found.append(plain)
            continue
        field = f"spec.env[{index}]"
        if entry.value:
            raise InvalidManifest(field, "has both value and valueFrom", "remove one")
        source = to_key_source(f"{field}.valueFrom", entry.value_from)
        found.append(specs.EnvFrom(name=entry.name, value_from=source))
    return tuple(found)


def refuse_nul(field: str, text: str) -> None:
    """Raises InvalidManifest where the text holds a NUL character."""
    if "\0" in text:
        raise InvalidManifest(
            field, "holds a NUL character, which no program can be given", "remove it"
        )


def to_user(user: str | None) -> str | None:
    """The user it is billed to.

    Raises:
        InvalidManifest: a name that bills cannot show as it is.
    """
    if user is not None and common.USER.fullmatch(user) is None:
        raise InvalidManifest(
            "spec.user",
            "begins with =, +, - or @, begins or ends with a blank, or holds a control character",
            "name it otherwise",
        )
    return user


def to_key_source(field: str, reference: _KeyReference) -> specs.KeySource:
    """A key of a ConfigMap or Secret.

    Raises:
        InvalidManifest: none of the two is named, or both are.
    """
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
