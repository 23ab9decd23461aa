"""One call to a runner over HTTP, and its reply: bounded while it is read, never followed
elsewhere, never unpacked.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

from soulbox.box.signing import Call
from soulbox.model.errors import HostileReply, RunnerUnavailable
from soulbox.model.keys import RUNNER_PORT

# A pod is on the cluster's network; a connection that takes longer is lost.
CONNECT_SECONDS: Final = 3.0
# Beyond what the runner was asked to wait: it answers in milliseconds, a busy node in some.
REPLY_SECONDS: Final = 10.0
# The runner's own bound on `wait`.
MAX_WAIT_SECONDS: Final = 60.0
# Every sandbox is asked these in turn, used or not: an open connection to each of a thousand
# would cost 15 MiB between the rounds.
_ASKED_OF_ALL: Final = frozenset({"/v1/executions", "/v1/stats"})
_CLOSE: Final = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class PodAddress:
    """Where a pod's runner listens, and the pod it must be."""

    uid: str
    ip: str
    port: int = RUNNER_PORT


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]  # lower-case names
    body: bytes


def open_session() -> aiohttp.ClientSession:
    """A session fit for runners: no cookies, no proxy, nothing unpacked. The caller closes
    it."""
    return aiohttp.ClientSession(
        # Thousands of pods may be polled at once; the work queue bounds the calls.
        # A connection left open costs some 15 KiB, making one half a millisecond: those of a
        # sandbox in use stay, those of one that is only sampled do not.
        connector=aiohttp.TCPConnector(limit=0, force_close=False, keepalive_timeout=4.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "soulbox-operator"},
    )


async def send(
    session: aiohttp.ClientSession,
    pod: PodAddress,
    call: Call,
    headers: dict[str, str],
    limit_bytes: int,
    wait_seconds: float = 0,
) -> Reply:
    """Send a call once and read its bounded reply, whatever its status.

    Raises:
        RunnerUnavailable: no answer, or not in time.
        HostileReply: it is not HTTP, or over the limit.
    """
    try:
        async with session.request(
            call.method,
            url_of(pod, call),
            data=call.body or None,
            headers=headers | _CLOSE if call.path in _ASKED_OF_ALL else headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=min(wait_seconds, MAX_WAIT_SECONDS) + REPLY_SECONDS,
                sock_connect=CONNECT_SECONDS,
            ),
        ) as response:
            body = await _read_bounded(response, limit_bytes)
            names = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, names, body)
    except TimeoutError as error:
        reached = not isinstance(error, aiohttp.ConnectionTimeoutError)
        raise RunnerUnavailable("runner did not answer in time", reached=reached) from error
    except aiohttp.ClientResponseError as error:
        raise HostileReply("runner's reply is not HTTP") from error
    except aiohttp.ClientError as error:
        refused = isinstance(getattr(error, "os_error", None), ConnectionRefusedError)
        raise RunnerUnavailable(
            f"no connection to the runner ({type(error).__name__})",
            reached=refused or not isinstance(error, aiohttp.ClientConnectorError),
        ) from error


def count_header(reply: Reply, name: str) -> int:
    """The number in a header.

    Raises:
        HostileReply: there is none.
    """
    text = reply.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise HostileReply(f"runner's reply: header {name} is not a count")
    return int(text)


def url_of(pod: PodAddress, call: Call) -> URL:
    """Where a call goes."""
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    query = f"?{call.query}" if call.query else ""
    # Already escaped: what is sent must be what was signed, to the byte.
    return URL(f"http://{host}:{pod.port}{call.path}{query}", encoded=True)


async def _read_bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The body; the connection is dropped as soon as it is over the bound."""
    if (response.content_length or 0) > limit_bytes:
        response.close()
        raise HostileReply(f"runner's reply is over {limit_bytes} bytes")
    parts: list[bytes] = []
    size_bytes = 0
    async for part in response.content.iter_any():
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            response.close()
            raise HostileReply(f"runner's reply is over {limit_bytes} bytes")
        parts.append(part)
    return b"".join(parts)
