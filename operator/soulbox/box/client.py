"""Calls to the runner in a pod.

The other end is hostile until proven otherwise: user code may have taken the port. So
every reply is bounded while it is read, never followed elsewhere, never unpacked, and
must name the run it was asked for. Errors: `RunnerUnavailable` (try again),
`RunnerRefused` (it said no), `HostileReply` (drop what it said).
"""

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import quote

import aiohttp

from soulbox.box.signing import Call, SigningKey
from soulbox.box.transport import MAX_WAIT_SECONDS, PodAddress, Reply, count_header, send
from soulbox.model.errors import HostileReply, NotLeader, RunnerRefused, RunnerUnavailable
from soulbox.model.runs import RunDocument, RunList, RunStats, StartRun
from soulbox.model.states import PolicyFinding, RunState
from soulbox.schema import wire

Stream = Literal["stdout", "stderr"]

# One reply of output, and all of it: the CRD's bound on a class's outputBytes.
OUTPUT_CHUNK_BYTES: Final = 1_048_576
MAX_OUTPUT_BYTES: Final = 1_073_741_824
_MAX_ERROR_BYTES: Final = 16_384
# Clock offsets kept, of the pods called last; a lost one costs one more round trip.
_MAX_OFFSETS: Final = 4096
_MAX_OFFSET_MILLISECONDS: Final = int(wire.MAX_AHEAD.total_seconds() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPiece:
    """Some bytes of a stream."""

    content: bytes
    stored_bytes: int  # of the stream, when this was read
    finished: bool  # the run was over before: nothing is added any more


class RunnerClient:
    """Calls to runners, for one event loop. Every call may be repeated safely.

    Args:
        session: from `open_session`; stays the caller's.
        key: signs every call.
        clock: the operator's aware now.
        count_unauthorized: told the code of each 401, for a metric.
        guard: asked before each signed call; raises NotLeader when this process may not
            make it, which callers see as RunnerUnavailable: nothing was sent.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        key: SigningKey,
        clock: Callable[[], datetime],
        count_unauthorized: Callable[[str], None] | None = None,
        guard: Callable[[], None] | None = None,
    ) -> None:
        self._session = session
        self._key = key
        self._clock = clock
        self._count_unauthorized = count_unauthorized
        self._guard = guard
        self._offsets_milliseconds: OrderedDict[str, int] = OrderedDict()

    async def start(
        self,
        pod: PodAddress,
        uid: str,
        attempt: int,
        request: StartRun,
        wait_seconds: float = 0,
    ) -> RunDocument:
        """Start a run, or learn what became of the same run asked for before.

        Args:
            wait_seconds: the reply comes when the run ends or this has passed; at most 60.

        Raises:
            RunnerRefused: "Busy" or "TableFull" (429: wait for another run to end),
                "Conflict" (409: another body under this uid and attempt), "Released" (410),
                "Invalid" (400).
            RunnerUnavailable: no answer, or it is shutting down. The run may have started:
                ask with `get` before anything else.
            HostileReply: the reply broke the contract.
        """
        call = Call(
            method="PUT",
            path=_run_path(uid, attempt),
            query=_wait_query(wait_seconds),
            body=wire.dump_start(request),
            pod_uid=pod.uid,
        )
        reply = await self._signed(pod, call, wire.MAX_DOCUMENT_BYTES, wait_seconds)
        return self._document(reply, uid, attempt)

    async def get(
        self, pod: PodAddress, uid: str, attempt: int, wait_seconds: float = 0
    ) -> RunDocument:
        """A run as it is now; with `wait_seconds` as soon as it ends.

        Raises:
            RunnerRefused: "NotFound" (404: never started here), "Released" (410).
            RunnerUnavailable, HostileReply: see `start`.
        """
        call = Call(
            method="GET",
            path=_run_path(uid, attempt),
            query=_wait_query(wait_seconds),
            pod_uid=pod.uid,
        )
        reply = await self._signed(pod, call, wire.MAX_DOCUMENT_BYTES, wait_seconds)
        return self._document(reply, uid, attempt)

    async def list(self, pod: PodAddress) -> RunList:
        """Every run this runner knows that nobody released, without output.

        Raises:
            RunnerUnavailable, RunnerRefused, HostileReply: see `start`.
        """
        call = Call(method="GET", path="/v1/executions", pod_uid=pod.uid)
        reply = await self._signed(pod, call, wire.MAX_LIST_BYTES)
        runs = wire.parse_list(reply.body, now=self._clock())
        if runs.pod_uid != pod.uid:
            raise HostileReply("runner's reply: it says that it is another pod")
        return runs

    async def cancel(self, pod: PodAddress, uid: str, attempt: int) -> RunDocument:
        """Ask for a run's end; the reply may still say Running. Again: no harm.

        Raises:
            RunnerRefused: "NotFound" (404: never started here), "Released" (410).
            RunnerUnavailable, HostileReply: see `start`.
        """
        call = Call(method="DELETE", path=_run_path(uid, attempt), pod_uid=pod.uid)
        reply = await self._signed(pod, call, wire.MAX_DOCUMENT_BYTES)
        return self._document(reply, uid, attempt)

    async def release(self, pod: PodAddress, uid: str, attempt: int) -> None:
        """Tell that the result is recorded: the runner frees its space. Again: no harm.

        Raises:
            RunnerRefused: "Running" (409: not finished), "NotFound" (404).
            RunnerUnavailable, HostileReply: see `start`.
        """
        call = Call(method="POST", path=f"{_run_path(uid, attempt)}/release", pod_uid=pod.uid)
        await self._signed(pod, call, _MAX_ERROR_BYTES)

    async def read_output(
        self,
        pod: PodAddress,
        uid: str,
        attempt: int,
        stream: Stream,
        offset: int = 0,
        *,
        limit_bytes: int = MAX_OUTPUT_BYTES,
    ) -> AsyncIterator[bytes]:
        """The stored bytes of a stream from `offset` to what is there now, in chunks of at
        most 1 MiB. After an error go on at offset + the bytes had so far.

        Args:
            limit_bytes: most bytes that may be stored, the limit the run was started with.

        Raises:
            HostileReply: more than that is offered, or less than was promised.
            RunnerUnavailable, RunnerRefused: see `get`.
        """
        path = f"{_run_path(uid, attempt)}/output/{stream}"
        async for chunk in self._read_stored(pod, path, stream, offset, limit_bytes):
            yield chunk

    async def read_file(
        self,
        pod: PodAddress,
        uid: str,
        attempt: int,
        path: str,
        *,
        limit_bytes: int = MAX_OUTPUT_BYTES,
    ) -> AsyncIterator[bytes]:
        """What was kept of a captured file, by its path in the run's document, in chunks of at
        most 1 MiB.

        Raises:
            HostileReply, RunnerUnavailable, RunnerRefused: see `read_output`.
        """
        where = f"{_run_path(uid, attempt)}/files/{quote(path, safe='/')}"
        async for chunk in self._read_stored(pod, where, "a captured file", 0, limit_bytes):
            yield chunk

    async def _read_stored(
        self, pod: PodAddress, path: str, what: str, offset: int, limit_bytes: int
    ) -> AsyncIterator[bytes]:
        while True:
            piece = await self._read_piece(pod, path, what, offset, limit_bytes)
            offset += len(piece.content)
            if piece.content:
                yield piece.content
            if offset >= piece.stored_bytes:
                return

    async def read_piece(
        self,
        pod: PodAddress,
        uid: str,
        attempt: int,
        stream: Stream,
        offset: int,
        limit_bytes: int = MAX_OUTPUT_BYTES,
    ) -> OutputPiece:
        """At most 1 MiB of a stream's stored bytes from `offset`; an offset beyond them gives
        none. Arguments and errors as `read_output`.
        """
        path = f"{_run_path(uid, attempt)}/output/{stream}"
        return await self._read_piece(pod, path, stream, offset, limit_bytes)

    async def _read_piece(
        self, pod: PodAddress, path: str, what: str, offset: int, limit_bytes: int
    ) -> OutputPiece:
        call = Call(method="GET", path=path, query=f"offset={offset}", pod_uid=pod.uid)
        reply = await self._signed(pod, call, OUTPUT_CHUNK_BYTES)
        stored_bytes = count_header(reply, "soulbox-stored-bytes")
        if stored_bytes > limit_bytes or (reply.body and offset + len(reply.body) > stored_bytes):
            raise HostileReply(f"runner's reply: more bytes of {what} than can be stored")
        # An honest runner sends whole pieces; byte by byte, each would cost us a call.
        if len(reply.body) < min(stored_bytes - offset, OUTPUT_CHUNK_BYTES):
            raise HostileReply(f"runner's reply: fewer bytes of {what} than it says are stored")
        finished = reply.headers.get("soulbox-state") == RunState.FINISHED
        return OutputPiece(content=reply.body, stored_bytes=stored_bytes, finished=finished)

    async def look_at_policy(
        self, pod: PodAddress, target: tuple[str, int]
    ) -> tuple[PolicyFinding, str]:
        """Have the runner try to connect to `target`, where this process listens and which the
        pod's network policy forbids. Takes a third of a second where nothing comes back.

        Returns:
            What it found, and its words to it. After BLOCKED the same call gives SEEN.

        Raises:
            RunnerUnavailable, RunnerRefused, HostileReply: see `start`.
        """
        body = wire.dump_enforcement(*target)
        call = Call(method="POST", path="/v1/enforcement", body=body, pod_uid=pod.uid)
        reply = await self._signed(pod, call, _MAX_ERROR_BYTES)
        return wire.parse_enforcement(reply.body)

    async def stats(self, pod: PodAddress) -> RunStats:
        """Resource figures of the pod.

        Raises:
            RunnerUnavailable, RunnerRefused, HostileReply: see `start`.
        """
        call = Call(method="GET", path="/v1/stats", pod_uid=pod.uid)
        reply = await self._signed(pod, call, wire.MAX_STATS_BYTES)
        return wire.parse_stats(reply.body, now=self._clock())

    async def shutdown(self, pod: PodAddress) -> None:
        """Ask the runner to take no more runs, cancel those it has, and exit.

        Raises:
            RunnerUnavailable, RunnerRefused, HostileReply: see `start`.
        """
        await self._signed(
            pod, Call(method="POST", path="/v1/shutdown", pod_uid=pod.uid), _MAX_ERROR_BYTES
        )

    async def healthy(self, pod: PodAddress) -> bool:
        """Whether something at the address says that it is well; unsigned, proves nothing."""
        try:
            reply = await send(
                self._session,
                pod,
                Call(method="GET", path="/healthz", pod_uid=pod.uid),
                {},
                _MAX_ERROR_BYTES,
            )
        except (RunnerUnavailable, HostileReply):
            return False
        return reply.status == HTTPStatus.OK

    def _document(self, reply: Reply, uid: str, attempt: int) -> RunDocument:
        document = wire.parse_document(reply.body, now=self._clock())
        if (document.uid, document.attempt) != (uid, attempt):
            raise HostileReply("runner's reply: it is about a different run")
        return document

    async def _signed(
        self, pod: PodAddress, call: Call, limit_bytes: int, wait_seconds: float = 0
    ) -> Reply:
        """Sign and send; once more where only the clock or the nonce was at fault."""
        for is_last in (False, True):
            self._ask_guard()
            headers = call.headers(
                self._key, self._runner_milliseconds(pod.uid), secrets.token_hex(16)
            )
            reply = await send(self._session, pod, call, headers, limit_bytes, wait_seconds)
            if reply.status < HTTPStatus.MULTIPLE_CHOICES:
                return reply
            if reply.status < HTTPStatus.BAD_REQUEST:
                raise HostileReply("runner's reply: a redirect")
            code, message, runner_milliseconds = wire.parse_error(reply.body)
            if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise RunnerUnavailable(
                    f"runner cannot serve now ({code}): {message}", reached=True
                )
            if reply.status == HTTPStatus.UNAUTHORIZED:
                if self._count_unauthorized is not None:
                    self._count_unauthorized(code)
                if not is_last and self._can_correct(pod.uid, code, runner_milliseconds):
                    continue
            raise RunnerRefused(reply.status, code, message)
        raise AssertionError("the second round returns or raises")

    def _ask_guard(self) -> None:
        if self._guard is None:
            return
        try:
            self._guard()
        except NotLeader as error:
            raise RunnerUnavailable(f"the runner was not called: {error}") from error

    def _runner_milliseconds(self, pod_uid: str) -> int:
        return self._now_milliseconds() + self._offsets_milliseconds.get(pod_uid, 0)

    def _now_milliseconds(self) -> int:
        return int(self._clock().timestamp() * 1000)

    def _can_correct(self, pod_uid: str, code: str, runner_milliseconds: int | None) -> bool:
        if code == "Replay":  # our own connection pool sent the same request again
            return True
        if code != "ClockSkew" or runner_milliseconds is None:
            return False
        offset = runner_milliseconds - self._now_milliseconds()
        if abs(offset) > _MAX_OFFSET_MILLISECONDS:
            return False
        self._offsets_milliseconds[pod_uid] = offset
        self._offsets_milliseconds.move_to_end(pod_uid)
        if len(self._offsets_milliseconds) > _MAX_OFFSETS:
            self._offsets_milliseconds.popitem(last=False)
        return True


def _run_path(uid: str, attempt: int) -> str:
    return f"/v1/executions/{uid}/{attempt}"


def _wait_query(wait_seconds: float) -> str:
    if wait_seconds <= 0:
        return ""
    return f"wait={int(min(wait_seconds, MAX_WAIT_SECONDS) * 1000)}ms"
