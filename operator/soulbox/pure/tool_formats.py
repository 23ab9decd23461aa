"""Functions as the tools that models are offered: MCP's and OpenAI's definitions."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

# What a model is told of a tool that takes anything.
_ANY_INPUT: Final[Mapping[str, Any]] = {"type": "object"}
# https://platform.openai.com/docs/api-reference/chat/create: a-z, A-Z, 0-9, _ and -, at most 64.
_OPENAI_NAME: Final = 64
_HASH_LETTERS: Final = 8


def mcp_name(namespace: str, name: str) -> str:
    """Unique in the cluster: a namespace holds no dot."""
    return f"{namespace}.{name}"


def openai_name(namespace: str, name: str) -> str:
    """Unique in the cluster, of the letters that OpenAI takes: Kubernetes' names hold no _. One
    that is too long ends in a hash."""
    whole = f"{namespace}__{name.replace('.', '_')}"
    if len(whole) <= _OPENAI_NAME:
        return whole
    told = hashlib.sha256(whole.encode()).hexdigest()[:_HASH_LETTERS]
    return f"{whole[: _OPENAI_NAME - _HASH_LETTERS - 1]}_{told}"


def to_mcp(namespace: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of MCP's tools/list.

    Args:
        spec: of a Function with `tool`, as the API server has it.
    """
    tool = spec["tool"]
    found = {
        "name": mcp_name(namespace, name),
        "title": tool.get("title"),
        "description": _description(spec),
        "inputSchema": spec.get("inputSchema") or _ANY_INPUT,
        "outputSchema": spec.get("outputSchema"),
        "annotations": tool.get("annotations"),
    }
    return {field: value for field, value in found.items() if value is not None}


def to_openai(namespace: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A function tool of OpenAI's; they know no outputSchema. Arguments as `to_mcp`."""
    return {
        "type": "function",
        "function": {
            "name": openai_name(namespace, name),
            "description": _description(spec),
            "parameters": spec.get("inputSchema") or _ANY_INPUT,
        },
    }


def _description(spec: Mapping[str, Any]) -> str:
    words = str(spec.get("description", ""))
    instead = spec.get("deprecated")
    return words if instead is None else f"{words.rstrip()}\n\nDeprecated: {instead}"
