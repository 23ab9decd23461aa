"""JSON of the API server, however deep.

`spec.input` of an Execution is any JSON, and the API server takes ten thousand levels of it.
No decoder here does: one such object would end every list and watch that it is in, and with them
the operator. What lies deeper than LEVELS is null instead; such an input is refused all the same
(kinds/execution/spec), since it is deeper than can be handed on.
"""

from typing import Any, Final

import aiohttp
import orjson

from soulbox.model.json_values import cut_deep

# Of a whole object: spec.input, or an object's fields in a watch's event, begin at the third. More
# than the 254 that orjson writes, so that a cut input is not taken for a whole one; a third of
# what Python's recursion allows.
LEVELS: Final = 260


def decode(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        orjson.JSONDecodeError: it is none.
    """
    raw = text.encode() if isinstance(text, str) else text
    try:
        value = orjson.loads(raw)
        if raw.count(b"[") + raw.count(b"{") > LEVELS:
            orjson.dumps(value)  # the quickest way to learn whether it is deep
    except (orjson.JSONDecodeError, TypeError):
        # Deeper than the 1,024 levels that it reads or the 254 that it writes; or no JSON, which
        # it says again.
        return orjson.loads(cut_deep(raw, LEVELS))
    return value


def loads(text: str | bytes, **_: Any) -> Any:
    """`decode` under the name that Kopf looks for in its module json."""
    return decode(text)


class ApiResponse(aiohttp.ClientResponse):
    """What a session answers with: for Kopf, which asks it for the JSON of lists."""

    async def json(self, **options: Any) -> Any:
        """The body's value."""
        return await super().json(**{"loads": decode, **options})
