"""The calls for live output and captured files: what the operator and the commands agree on.

A module of its own, as the operator's side needs half of the operator, and a command none of it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

OUTPUT_PATH: Final = "/v1/namespaces/{namespace}/executions/{name}/output/{stream:stdout|stderr}"
FILE_PATH: Final = "/v1/namespaces/{namespace}/executions/{name}/files/{place:[0-9]{1,3}}"
KEY_HEADER: Final = "Soulbox-Output-Key"
STATE_HEADER: Final = "Soulbox-State"
MAX_KEYS: Final = 8
# One reply. A guess: large enough that 10 MiB are 40 of them, small beside the operator.
PIECE_BYTES: Final = 262_144


def whole_inline(output: Mapping[str, Any], stream: str) -> bytes | None:
    """A stream's bytes out of a final status that holds all of them, else None."""
    if not output:
        return b""  # none of its code ran
    if output.get(f"{stream}Truncated"):
        return None
    raw = str(output.get(stream, "")).encode("utf-8", "surrogatepass")
    told = output.get(f"{stream}Sha256")
    if told is None:
        return raw if len(raw) == output.get(f"{stream}Bytes", 0) else None
    return raw if hashlib.sha256(raw).hexdigest() == told else None


def is_lost(output: Mapping[str, Any], stream: str) -> bool:
    """Whether a final status says that nobody has a stream any more: it went with its pod,
    before its size was known."""
    return bool(output.get(f"{stream}Truncated")) and f"{stream}Bytes" not in output
