"""Shows a program's output while it runs: by offset, so that nothing is lost or shown twice,
whatever breaks in between."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from soulbox.app.commands.outlet import Stream
from soulbox.app.commands.person import Manifest, Person, status_of
from soulbox.app.commands.terminal import one_line
from soulbox.app.output_calls import (
    KEY_HEADER,
    MAX_KEYS,
    PIECE_BYTES,
    STATE_HEADER,
    is_lost,
    whole_inline,
)
from soulbox.kube.client import plain_get
from soulbox.kube.resources import EXECUTIONS
from soulbox.model.backoff import Backoff
from soulbox.model.errors import CommandError, KubeConflict, KubeUnavailable
from soulbox.model.keys import OUTPUT_KEYS_ANNOTATION

Write = Callable[[Stream, bytes], Awaitable[None]]

_SERVICE: Final = "soulbox-operator:http"
_WAIT_SECONDS: Final = 15
_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 2.0
# After the Execution's end its output is being saved for a moment; then it must be there.
_AFTERWARDS_SECONDS: Final = 10.0
# To the operator an Execution or a key is unknown until its watch brings them: it may be behind.
_UNKNOWN_SECONDS: Final = 3.0


def new_key() -> str:
    """A key for one reader."""
    return secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """What the Execution stores of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


async def allow_reading(person: Person, execution: Manifest) -> str:
    """Put a new key's hash on an Execution that is there already; the key.

    Raises:
        KubeRefused: no right to write it.
    """
    key = new_key()
    for _ in range(10):
        metadata = execution["metadata"]
        known = str((metadata.get("annotations") or {}).get(OUTPUT_KEYS_ANNOTATION, ""))
        hashes = [one for one in known.split(",") if one][-(MAX_KEYS - 1) :]
        body = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {OUTPUT_KEYS_ANNOTATION: ",".join([*hashes, key_hash(key)])},
            }
        }
        try:
            await person.kube.patch(EXECUTIONS, metadata["name"], body, person.namespace)
        except KubeConflict:
            execution = await person.kube.get(EXECUTIONS, metadata["name"], person.namespace)
        else:
            return key
    raise CommandError("the Execution keeps changing: try again")


@dataclass(slots=True)
class Shown:
    """How far a stream was shown."""

    offset: int = 0
    complete: bool = False  # to its end
    problem: str = ""  # why not


class Pump:
    """Reads both streams of one Execution from the operator."""

    def __init__(self, person: Person, name: str, key: str, write: Write) -> None:
        self._person = person
        self._name = name
        self._key = key
        self._write = write
        # Set once the Execution is over: from then on what is not there soon never will be.
        self._over = asyncio.Event()
        self._final: Mapping[str, Any] = {}  # its status.output then
        self.shown: dict[Stream, Shown] = {"stdout": Shown(), "stderr": Shown()}

    def finish(self, execution: Mapping[str, Any]) -> None:
        """The Execution is over: do not wait for what its status already has, or what nobody
        has."""
        self._final = status_of(execution).get("output") or {}
        self._over.set()

    async def run(self, *, wait: bool = True) -> None:
        """Until both streams have ended, or cannot be read; with `wait` False until nothing
        more is there now.

        Raises:
            BrokenPipeError: nobody reads what is written any more.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for stream in self.shown:
                    tasks.create_task(self._pump(stream, wait=wait))
        except ExceptionGroup as errors:
            broken = errors.subgroup(BrokenPipeError)
            raise (broken or errors).exceptions[0] from errors

    async def _pump(self, stream: Stream, *, wait: bool) -> None:
        shown = self.shown[stream]
        loop = asyncio.get_running_loop()
        retry = Backoff(first_seconds=_FIRST_RETRY_SECONDS, most_seconds=_LAST_RETRY_SECONDS)
        over_since = None
        while not self._has_all(stream):
            state, content = await self._fetch(stream, shown, wait=wait)
            if content:
                await self._write(stream, content)
                shown.offset += len(content)
                retry.reset()
                over_since = None
            if state == "Finished" or (not wait and state is not None and not content):
                shown.complete, shown.problem = state == "Finished", ""
                return
            if state == "Refused" or (state is None and not wait):
                return
            if state in ("Running", "Waiting") and not self._over.is_set():
                continue
            if self._over.is_set():
                if state in (None, "Unknown") and self._needs_no_operator(stream):
                    return
                over_since = over_since or loop.time()
                patience = _UNKNOWN_SECONDS if state == "Unknown" else _AFTERWARDS_SECONDS
                if state == "Lost" or loop.time() - over_since > patience:
                    return
            if not content:
                await self._pause(retry.next_seconds())
        shown.complete, shown.problem = True, ""

    def _has_all(self, stream: Stream) -> bool:
        """Whether the Execution is over and every byte that it wrote was shown: then no notice is
        needed."""
        return (
            self._over.is_set() and self._final.get(f"{stream}Bytes") == self.shown[stream].offset
        )

    def _needs_no_operator(self, stream: Stream) -> bool:
        return whole_inline(self._final, stream) is not None or is_lost(self._final, stream)

    async def _pause(self, seconds: float) -> None:
        """Wait; less if the Execution's end comes."""
        if self._over.is_set():
            await asyncio.sleep(min(seconds, 0.25))
            return
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass  # the usual case

    async def _fetch(self, stream: Stream, shown: Shown, *, wait: bool) -> tuple[str | None, bytes]:
        """The operator's word for the stream's state, and bytes; see Answer."""
        params = {"offset": str(shown.offset)}
        if wait and not self._over.is_set():
            params["wait"] = str(_WAIT_SECONDS)
        answer = await ask_operator(self._person, self._name, self._key, f"output/{stream}", params)
        shown.problem = answer.problem or shown.problem
        return answer.state, answer.content


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The operator's. `state` None: it could not answer; "Unknown": it knows no such Execution
    or key (yet); "Refused": no right; then `problem` says more."""

    state: str | None
    content: bytes = b""
    problem: str = ""


async def ask_operator(
    person: Person, name: str, key: str, what: str, params: Mapping[str, str]
) -> Answer:
    """Bytes of an Execution: `what` is output/stdout, output/stderr or files/N."""
    target = person.target
    path = f"/v1/namespaces/{person.namespace}/executions/{name}/{what}"
    headers = {KEY_HEADER: key}
    limit_bytes, timeout_seconds = PIECE_BYTES, _WAIT_SECONDS + 15.0
    try:
        if target.operator_url is not None:
            status, replied, body = await plain_get(
                target.operator_url.rstrip("/") + path,
                params=params,
                headers=headers,
                limit_bytes=limit_bytes,
                timeout_seconds=timeout_seconds,
            )
        else:
            status, replied, body = await person.kube.proxy_get(
                _SERVICE,
                target.operator_namespace,
                path,
                params=params,
                headers=headers,
                limit_bytes=limit_bytes,
                timeout_seconds=timeout_seconds,
            )
    except KubeUnavailable as error:
        return Answer(state=None, problem=f"the operator cannot be reached ({error})")
    if status == 200 and STATE_HEADER in replied:
        return Answer(state=replied[STATE_HEADER], content=body)
    problem = _problem(person, status, body)
    if status in (401, 403):
        return Answer(state="Refused", problem=problem)
    return Answer(state="Unknown" if status == 404 else None, problem=problem)


def _problem(person: Person, status: int, body: bytes) -> str:
    """Why there was no output, and what to do."""
    where = f"namespace {person.target.operator_namespace}"
    if person.target.operator_url is None:  # it may be the API server that answered
        if status in (401, 403):
            return f"you have no right to get services/proxy for {_SERVICE} in {where}"
        if status == 503:
            return f"nothing answers behind the Service soulbox-operator in {where}"
        if status == 404 and b'"kind":"Status"' in body:
            return (
                f"there is no Service soulbox-operator in {where}: name its namespace with "
                "--operator-namespace, or set SOULBOX_OPERATOR_URL"
            )
    words = one_line(body.decode("utf-8", "replace"))[:256]
    return f"the operator's answer was {status}: {words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What a final status still has of a stream."""

    content: bytes
    missing_bytes: int  # written, and not in `content`
    is_lost: bool = False  # nobody has them any more


def rest_of(output: Mapping[str, Any], stream: Stream, offset: int) -> Rest:
    """What there is from an offset, which was shown before."""
    whole = whole_inline(output, stream)
    if whole is not None:
        return Rest(content=whole[offset:], missing_bytes=0)
    if is_lost(output, stream):
        return Rest(content=b"", missing_bytes=0, is_lost=True)
    total = int(output.get(f"{stream}Bytes") or 0)
    if offset:
        return Rest(content=b"", missing_bytes=max(0, total - offset))
    text = str(output.get(stream, "")).encode("utf-8", "surrogatepass")
    return Rest(content=text, missing_bytes=max(0, total - len(text)))


def lost_words(stream: Stream, offset: int) -> str:
    """The notice about a stream that nobody has any more, of which that much was shown."""
    if offset:
        return f"{stream} beyond the {offset} bytes above was lost with its pod"
    return f"{stream} was lost with its pod"


def limit_words(output: Mapping[str, Any], stream: Stream, offset: int) -> str:
    """Of a stream shown to its end, where the program wrote more than was kept; else ""."""
    total = int(output.get(f"{stream}Bytes") or 0)
    if total <= offset:
        return ""
    return f"{offset} of {stream}'s {total} bytes were kept: outputLimitBytes allowed no more"
