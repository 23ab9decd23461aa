"""The operator's signing key: one Secret in its own namespace, made once."""

import base64

from soulbox.box.signing import SigningKey, new_seed
from soulbox.kube.client import KubeClient
from soulbox.kube.resources import SECRETS
from soulbox.model.errors import ConfigError, KubeExists, KubeNotFound, KubeRefused
from soulbox.model.keys import MANAGED_BY, MANAGED_BY_LABEL, SIGNING_KEY_SECRET

_SEED = "seed"


async def load_signing_key(kube: KubeClient, namespace: str) -> SigningKey:
    """Read the key, or make it; of two operators that make it at once, one wins and both
    use that one.

    Raises:
        ConfigError: the namespace or the permission is missing, or the Secret is damaged.
    """
    try:
        try:
            secret = await kube.get(SECRETS, SIGNING_KEY_SECRET, namespace)
        except KubeNotFound:
            secret = await _create(kube, namespace)
    except KubeRefused as error:
        raise ConfigError(
            f"Secret {namespace}/{SIGNING_KEY_SECRET} cannot be read or made: {error.message} "
            "(apply the Role of the install manifest to that namespace)"
        ) from error
    except KubeNotFound as error:
        raise ConfigError(
            f'namespace "{namespace}" does not exist; create it or set SOULBOX_OPERATOR_NAMESPACE'
        ) from error
    try:
        seed = base64.b64decode((secret.get("data") or {})[_SEED], validate=True)
        return SigningKey.from_seed(seed)
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f'Secret {namespace}/{SIGNING_KEY_SECRET} has no valid "{_SEED}"; restore it, or'
            " delete it when no sandbox is running"
        ) from error


async def _create(kube: KubeClient, namespace: str) -> dict[str, object]:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SIGNING_KEY_SECRET,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
        },
        "type": "Opaque",
        "immutable": True,
        "data": {_SEED: base64.b64encode(new_seed()).decode()},
    }
    try:
        return await kube.create(SECRETS, manifest, namespace)
    except KubeExists:
        return await kube.get(SECRETS, SIGNING_KEY_SECRET, namespace)
