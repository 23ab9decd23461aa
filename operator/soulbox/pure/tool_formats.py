"""Functions as the tools that models are offered: MCP's and OpenAI's definitions."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

# What a model is told of a tool that takes anything.
_ANY_INPUT: Final[Mapping[str, Any]] = {"type": "object"}
# https://platform.openai.com/docs/api-reference/chat/create: a-z, A-Z, 0-9, _ and -, at most 64.
_OPENAI_NAME: Final = 64
_OPENAI_HASH: Final = 8
# https://modelcontextprotocol.io/specification: a-z, A-Z, 0-9, _, - and the dot, at most 128.
_MCP_NAME: Final = 128
_MCP_HASH: Final = 16


def mcp_name(namespace: str, name: str, version: str | None = None) -> str:
    """Unique in the cluster: a namespace holds no dot, and neither does what is told of a version,
    in which alone there is a _ (Kubernetes' names hold none). So acme.resize.1_2_0 can only be a
    version of acme.resize. One that is too long ends in a hash.

    Args:
        version: as it was published; None: whichever is current when it is called.
    """
    if version is None:
        return f"{namespace}.{name}"
    # One that was counted has no dot: it gets a _ in front.
    told = f"_{version}" if version.isdigit() else version.replace(".", "_")
    return _within(f"{namespace}.{name}.{told}", _MCP_NAME, _MCP_HASH)


def openai_name(namespace: str, name: str, version: str | None = None) -> str:
    """Unique in the cluster, of the letters that OpenAI takes: Kubernetes' names hold no _, so the
    first two __ are where its parts end. One that is too long ends in a hash."""
    parts = (namespace, name, version) if version is not None else (namespace, name)
    return _within("__".join(part.replace(".", "_") for part in parts), _OPENAI_NAME, _OPENAI_HASH)


def _within(whole: str, most: int, hash_letters: int) -> str:
    if len(whole) <= most:
        return whole
    told = hashlib.sha256(whole.encode()).hexdigest()[:hash_letters]
    return f"{whole[: most - hash_letters - 1]}_{told}"


def to_mcp(
    namespace: str, name: str, spec: Mapping[str, Any], version: str | None = None
) -> dict[str, Any]:
    """An entry of MCP's tools/list.

    Args:
        spec: of a Function with `tool`, as the API server has it.
        version: the one that it is of, where its name says so.
    """
    tool = spec["tool"]
    found = {
        "name": mcp_name(namespace, name, version),
        "title": tool.get("title"),
        "description": _description(spec),
        "inputSchema": spec.get("inputSchema") or _ANY_INPUT,
        "outputSchema": spec.get("outputSchema"),
        "annotations": tool.get("annotations"),
    }
    return {field: value for field, value in found.items() if value is not None}


def to_openai(
    namespace: str, name: str, spec: Mapping[str, Any], version: str | None = None
) -> dict[str, Any]:
    """A function tool of OpenAI's; they know no outputSchema. Arguments as `to_mcp`."""
    return {
        "type": "function",
        "function": {
            "name": openai_name(namespace, name, version),
            "description": _description(spec),
            "parameters": spec.get("inputSchema") or _ANY_INPUT,
        },
    }


def _description(spec: Mapping[str, Any]) -> str:
    words = str(spec.get("description", ""))
    instead = spec.get("deprecated")
    return words if instead is None else f"{words.rstrip()}\n\nDeprecated: {instead}"
