"""`soulbox` called in this process, on an API server at HTTP level in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from soulbox.app.cli import main
from tests.support.fake_api import FakeApi, serving
from tests.unit.kube.scripted import write_kubeconfig

NAMESPACE = "team-a"


@dataclass
class Shell:
    """A person's shell."""

    api: FakeApi
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    kubeconfig: str

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        # Not KUBECONFIG: the official client reads that once a process.
        head = 2 if arguments[0] == "tools" else 1  # a group has no options of its own
        words = [*arguments[:head], "--kubeconfig", self.kubeconfig, *arguments[head:]]
        self.patch.setattr(sys, "argv", ["soulbox", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self.capture.readouterr()
        return int(caught.value.code or 0), out, err

    def json(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        code, out, err = self.call(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    for name in tuple(os.environ):
        if name.startswith("SOULBOX_"):
            monkeypatch.delenv(name)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def there(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    stack = AsyncExitStack()
    api = there(stack.enter_async_context(serving()))
    try:
        yield Shell(api, capfd, monkeypatch, write_kubeconfig(tmp_path, api.url, token="t"))
    finally:
        there(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
