"""Signatures of calls to runners: Ed25519, one key for the installation.

The signed text binds a call to its pod, its body and a moment, so that one that leaked
is good for nothing else. The runner holds the same rules; runner/testdata/wire/ has a
vector that both sides test.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED_BYTES: Final = 32
_CONTEXT: Final = "soulbox-v1"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The operator's private key. Its repr shows the key id only."""

    key_id: str  # hex of the first 8 bytes of SHA-256 of the raw public key
    public_bytes: bytes = field(repr=False)  # 32 bytes
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a seed of 32 bytes, as kept in the Secret.

        Raises:
            ValueError: the seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a signing key's seed has {SEED_BYTES} bytes, not {len(seed)}")
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes_raw()
        return cls(hashlib.sha256(public).hexdigest()[:16], public, private)

    @property
    def public_entry(self) -> str:
        """What a runner is given to know this key by: "keyid:base64 of the public key"."""
        return f"{self.key_id}:{base64.b64encode(self.public_bytes).decode()}"

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self._private.sign(message)


def new_seed() -> bytes:
    """A fresh seed for `SigningKey.from_seed`."""
    return secrets.token_bytes(SEED_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call to a runner: everything its signature covers."""

    method: str
    path: str  # escaped, as it stands in the request line
    query: str = ""  # raw, without "?"
    body: bytes = b""
    pod_uid: str

    def signed_text(self, time_milliseconds: int, nonce: str) -> bytes:
        """What is signed.

        Args:
            time_milliseconds: Unix time by the runner's clock.
            nonce: 32 hex characters, never used before.
        """
        body_sha256 = hashlib.sha256(self.body).hexdigest()
        parts = (_CONTEXT, self.method, self.path, self.query, body_sha256, self.pod_uid)
        return "\n".join((*parts, str(time_milliseconds), nonce)).encode()

    def headers(self, key: SigningKey, time_milliseconds: int, nonce: str) -> dict[str, str]:
        """The four headers that prove the call comes from the holder of `key`."""
        signature = key.sign(self.signed_text(time_milliseconds, nonce))
        return {
            "Soulbox-Key-Id": key.key_id,
            "Soulbox-Time": str(time_milliseconds),
            "Soulbox-Nonce": nonce,
            "Soulbox-Signature": base64.b64encode(signature).decode(),
        }
