"""What an Execution is given that lies elsewhere: code and variables of ConfigMaps and Secrets."""

import base64
from collections.abc import Iterable

from soulbox.kinds.execution.decide.seen import SandboxSeen
from soulbox.model.specs import (
    CodeMissing,
    EnvFrom,
    EnvVar,
    ExecutionSpec,
    FileEncoding,
)
from soulbox.reconcile.keys import KeyReader
from soulbox.schema.common import MAX_ENV_VALUE


class InputReader(KeyReader):
    """Asks the API server. For one event loop."""

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


def _env_value(text: str, encoding: FileEncoding) -> str | None:
    try:
        value = base64.b64decode(text).decode() if encoding is FileEncoding.BASE64 else text
    except ValueError:
        return None
    return None if "\0" in value or len(value) > MAX_ENV_VALUE else value


def lies_elsewhere(spec: ExecutionSpec, sandbox: SandboxSeen | None) -> bool:
    """Whether code or a variable has to be asked for: else nothing is awaited for them."""
    of_sandbox = () if sandbox is None or sandbox.spec is None else sandbox.spec.env
    variables = (*of_sandbox, *spec.env)
    return spec.code_from is not None or any(isinstance(one, EnvFrom) for one in variables)


def merge_env(*sources: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """The later wins."""
    merged: dict[str, EnvVar] = {}
    for source in sources:
        merged.update((variable.name, variable) for variable in source)
    return tuple(merged.values())
