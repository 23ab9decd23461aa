"""What an Execution is given that lies elsewhere: code and variables of ConfigMaps and Secrets."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from soulbox.kinds.execution.decide.seen import CodeMissing, SandboxSeen
from soulbox.kube.resources import CONFIG_MAPS, SECRETS
from soulbox.model.errors import KubeNotFound, KubeRefused
from soulbox.model.keys import READABLE_LABEL
from soulbox.model.specs import (
    MAX_CODE_BYTES,
    CodeSource,
    EnvFrom,
    EnvVar,
    ExecutionSpec,
    FileEncoding,
    KeySource,
)
from soulbox.reconcile.services import Services
from soulbox.schema.common import MAX_ENV_VALUE

# Less than an Execution waits until it looks again.
_MISSING_SECONDS = 0.9


class InputReader:
    """Asks the API server. For one event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # Keys that could not be read when last asked for, when, and what is said of each.
        self._missing: dict[tuple[KeySource, str], tuple[float, str]] = {}

    async def read_envs(
        self, namespace: str, spec: ExecutionSpec, sandbox: SandboxSeen | None
    ) -> tuple[EnvVar, ...] | CodeMissing:
        """The Sandbox's variables, then the Execution's own."""
        own = {variable.name for variable in spec.env}
        of_sandbox = () if sandbox is None or sandbox.spec is None else sandbox.spec.env
        inherited = [variable for variable in of_sandbox if variable.name not in own]
        first = await self._read_env(namespace, inherited, f' of Sandbox "{spec.sandbox_name}"')
        if isinstance(first, CodeMissing):
            return first
        second = await self._read_env(namespace, spec.env, "")
        return second if isinstance(second, CodeMissing) else (*first, *second)

    async def _read_env(
        self, namespace: str, variables: Iterable[EnvVar | EnvFrom], whose: str
    ) -> tuple[EnvVar, ...] | CodeMissing:
        """The same variables, those that lie elsewhere read."""
        found: list[EnvVar] = []
        for variable in variables:
            if isinstance(variable, EnvVar):
                found.append(variable)
                continue
            field = f"variable {variable.name}{whose}"
            read = await self.read_key(namespace, variable.value_from, field)
            if isinstance(read, CodeMissing):
                return read
            value = _env_value(*read)
            if value is None:
                return CodeMissing(
                    message=f"{field}: its value is not text of at most {MAX_ENV_VALUE} "
                    "characters without NUL."
                )
            found.append(EnvVar(name=variable.name, value=value))
        return tuple(found)

    async def read_key(
        self, namespace: str, source: KeySource, field: str
    ) -> tuple[str, FileEncoding] | CodeMissing:
        """One key of a ConfigMap or Secret; `field` begins what is said of a missing one.

        A crowd that waits for one asks for it once a second, all together.
        """
        key, now_seconds = (source, namespace), self._services.clock.now().timestamp()
        known = self._missing.get(key)
        if known is not None and abs(now_seconds - known[0]) < _MISSING_SECONDS:
            return CodeMissing(message=f"{field}: {known[1]}")
        found = await self._ask_for_key(namespace, source)
        if not isinstance(found, CodeMissing):
            return found
        fresh = {
            other: told
            for other, told in self._missing.items()
            if now_seconds - told[0] < _MISSING_SECONDS
        }
        self._missing = {**fresh, key: (now_seconds, found.message)}
        return CodeMissing(message=f"{field}: {found.message}")

    async def _ask_for_key(
        self, namespace: str, source: KeySource
    ) -> tuple[str, FileEncoding] | CodeMissing:
        """The same of the API server; what is said of a missing one is without a field."""
        is_secret = source.source is CodeSource.SECRET
        what = f'{source.source} "{source.name}"'
        missing = CodeMissing(message=f"{what} does not exist; create it.")
        if is_secret:
            # One word for both: who may not read Secrets is not told here which exist.
            missing = CodeMissing(
                message=f'there is no {what} with the label {READABLE_LABEL}: "true", '
                "which Executions need to read it; create the Secret, or label it."
            )
        try:
            manifest = await self._services.kube.get(
                SECRETS if is_secret else CONFIG_MAPS, source.name, namespace
            )
        except KubeNotFound:
            return missing
        except KubeRefused as error:
            return CodeMissing(message=f"{what} cannot be read: {error.message}")
        labels = manifest["metadata"].get("labels") or {}
        if is_secret and labels.get(READABLE_LABEL) != "true":
            return missing
        return _value_of(manifest, source, what)


def _env_value(text: str, encoding: FileEncoding) -> str | None:
    try:
        value = base64.b64decode(text).decode() if encoding is FileEncoding.BASE64 else text
    except ValueError:
        return None
    return None if "\0" in value or len(value) > MAX_ENV_VALUE else value


def _value_of(
    manifest: Mapping[str, Any], source: KeySource, what: str
) -> tuple[str, FileEncoding] | CodeMissing:
    data = manifest.get("data") or {}
    binary = manifest.get("binaryData") or {}
    if source.key in data and source.source is CodeSource.CONFIG_MAP:
        text = str(data[source.key])
        size, found = len(text.encode()), (text, FileEncoding.UTF8)
    elif source.key in data or source.key in binary:
        encoded = str(data.get(source.key, binary.get(source.key)))
        size, found = len(base64.b64decode(encoded)), (encoded, FileEncoding.BASE64)
    else:
        return CodeMissing(message=f'{what} has no key "{source.key}".')
    if size > MAX_CODE_BYTES:
        return CodeMissing(
            message=f'{what}: its key "{source.key}" has {size} bytes; '
            f"{MAX_CODE_BYTES} are allowed."
        )
    return found


def sha256_of(code: str, encoding: FileEncoding) -> str:
    raw = base64.b64decode(code) if encoding is FileEncoding.BASE64 else code.encode()
    return hashlib.sha256(raw).hexdigest()


def merge_env(*sources: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """The later wins."""
    merged: dict[str, EnvVar] = {}
    for source in sources:
        merged.update((variable.name, variable) for variable in source)
    return tuple(merged.values())
