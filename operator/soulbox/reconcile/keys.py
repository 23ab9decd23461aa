"""Keys of ConfigMaps and Secrets that specs refer to."""

import base64
from collections.abc import Mapping
from typing import Any

from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import CONFIG_MAPS, SECRETS
from soulbox.model.errors import KubeNotFound, KubeRefused
from soulbox.model.keys import READABLE_LABEL
from soulbox.model.specs import (
    MAX_CODE_BYTES,
    CodeMissing,
    CodeSource,
    FileEncoding,
    KeySource,
)

# Less than an Execution waits until it looks again.
_MISSING_SECONDS = 0.9


class KeyReader:
    """Asks the API server. For one event loop."""

    def __init__(self, kube: KubeClient, clock: ServerClock) -> None:
        self._kube = kube
        self._clock = clock
        # Keys that could not be read when last asked for, when, and what is said of each.
        self._missing: dict[tuple[KeySource, str], tuple[float, str]] = {}

    async def read_key(
        self, namespace: str, source: KeySource, field: str
    ) -> tuple[str, FileEncoding] | CodeMissing:
        """One key of a ConfigMap or Secret; `field` begins what is said of a missing one.

        A crowd that waits for one asks for it once a second, all together.
        """
        key, now_seconds = (source, namespace), self._clock.now().timestamp()
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
            manifest = await self._kube.get(
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
