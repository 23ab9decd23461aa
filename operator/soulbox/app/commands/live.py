"""Showing a program's output while it runs: by offset, so that nothing is lost or shown twice
whatever breaks in between."""

import asyncio
import hashlib
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from soulbox.app.commands.person import Manifest, Person
from soulbox.app.live_output import KEY_HEADER, MAX_KEYS, PIECE_BYTES, STATE_HEADER, whole_inline
from soulbox.kube.client import plain_get
from soulbox.kube.resources import EXECUTIONS
from soulbox.model.errors import CommandError, KubeConflict, KubeUnavailable
from soulbox.model.keys import OUTPUT_KEYS_ANNOTATION

Stream = Literal["stdout", "stderr"]
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
    """What stands of a key on the Execution."""
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
    raise CommandError("the Execution changes all the time: try again")


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
        self.over = asyncio.Event()
        self.shown: dict[Stream, Shown] = {"stdout": Shown(), "stderr": Shown()}

    async def run(self, *, wait: bool = True) -> None:
        """Until both streams have ended, or cannot be read; with `wait` False until nothing
        more is there now."""
        async with asyncio.TaskGroup() as tasks:
            for stream in self.shown:
                tasks.create_task(self._pump(stream, wait=wait))

    async def _pump(self, stream: Stream, *, wait: bool) -> None:
        shown = self.shown[stream]
        loop = asyncio.get_running_loop()
        retry_seconds, over_since = _FIRST_RETRY_SECONDS, None
        while True:
            state, content = await self._fetch(stream, shown, wait=wait)
            if content:
                await self._write(stream, content)
                shown.offset += len(content)
                retry_seconds, over_since = _FIRST_RETRY_SECONDS, None
            if state == "Finished" or (not wait and state is not None and not content):
                shown.complete, shown.problem = state == "Finished", ""
                return
            if state == "Refused" or (state is None and not wait):
                return
            if state in ("Running", "Waiting") and not self.over.is_set():
                continue
            if self.over.is_set():
                over_since = over_since or loop.time()
                patience = _UNKNOWN_SECONDS if state == "Unknown" else _AFTERWARDS_SECONDS
                if state == "Lost" or loop.time() - over_since > patience:
                    return
            if not content:
                await self._pause(retry_seconds)
                retry_seconds = min(_LAST_RETRY_SECONDS, retry_seconds * 2)

    async def _pause(self, seconds: float) -> None:
        """Wait; less if the Execution's end comes."""
        if self.over.is_set():
            await asyncio.sleep(min(seconds, 0.25))
            return
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            pass  # the usual case

    async def _fetch(self, stream: Stream, shown: Shown, *, wait: bool) -> tuple[str | None, bytes]:
        """The operator's word for the stream's state, and bytes. None: no answer, "Unknown":
        404, "Refused": no right; `shown.problem` says more."""
        params = {"offset": str(shown.offset)}
        if wait and not self.over.is_set():
            params["wait"] = str(_WAIT_SECONDS)
        try:
            status, headers, body = await self._get(stream, params)
        except KubeUnavailable as error:
            shown.problem = f"the operator cannot be reached ({error})"
            return None, b""
        if status == 200 and STATE_HEADER in headers:
            return headers[STATE_HEADER], body
        words = " ".join(body.decode("utf-8", "replace").split())[:256]
        shown.problem = f"the operator's answer was {status}: {words}"
        if status in (401, 403):
            shown.problem = (
                f"no right to get services/proxy of {_SERVICE} in namespace "
                f"{self._person.target.operator_namespace}"
            )
            return "Refused", b""
        return ("Unknown" if status == 404 else None), b""

    async def _get(
        self, stream: Stream, params: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        person = self._person
        path = f"/v1/namespaces/{person.namespace}/executions/{self._name}/output/{stream}"
        headers = {KEY_HEADER: self._key}
        limits = {"limit_bytes": PIECE_BYTES, "timeout_seconds": _WAIT_SECONDS + 15.0}
        if person.target.operator_url is not None:
            url = person.target.operator_url.rstrip("/") + path
            return await plain_get(url, params=params, headers=headers, **limits)  # type: ignore[arg-type]
        return await person.kube.proxy_get(
            _SERVICE,
            person.target.operator_namespace,
            path,
            params=params,
            headers=headers,
            **limits,  # type: ignore[arg-type]
        )


def rest_of(output: Mapping[str, Any], stream: Stream, offset: int) -> tuple[bytes, int]:
    """What a final status still has of a stream from an offset, and how many bytes are missing
    all the same."""
    whole = whole_inline(output, stream)
    if whole is not None:
        return whole[offset:], 0
    total = int(output.get(f"{stream}Bytes") or 0)
    if offset:
        return b"", max(0, total - offset)
    text = str(output.get(stream, "")).encode("utf-8", "surrogatepass")
    return text, max(1, total - len(text))


async def write_out(stream: Stream, content: bytes) -> None:
    """To our own stdout or stderr; a slow reader holds up nothing but this stream.

    Raises:
        BrokenPipeError: the reader is gone.
    """
    descriptor = (sys.stdout if stream == "stdout" else sys.stderr).fileno()
    await asyncio.to_thread(_write_all, descriptor, content)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
