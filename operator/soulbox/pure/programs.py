"""Programs by their hash."""

import base64
import hashlib

from soulbox.model.specs import FileEncoding


def code_sha256(code: str, encoding: FileEncoding = FileEncoding.UTF8) -> str:
    """SHA-256 of the bytes that are run, hex.

    Raises:
        ValueError: the code is not in its encoding.
    """
    is_bytes = encoding is FileEncoding.BASE64
    # A lone surrogate cannot be encoded strictly, and is stored by nobody.
    raw = base64.b64decode(code) if is_bytes else code.encode("utf-8", "surrogatepass")
    return hashlib.sha256(raw).hexdigest()
