"""Attacks that need a kubelet: A14, A21, A42, fields 17, 20 and 21, and everything at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ALL_AT_ONCE = Path(__file__).resolve().parents[1] / "attacks" / "all_at_once.py"
AFTERWARDS = """
import os
print(sorted(os.listdir('/dev/shm') + os.listdir('/dev/mqueue')))
own = os.path.dirname(os.environ['TMPDIR'])
print([name for name in os.listdir('/tmp') if f'/tmp/{name}' != own])
print(len(open('/proc/sysvipc/shm').read().splitlines()) - 1)
print(len([pid for pid in os.listdir('/proc') if pid.isdigit()]) <= 4)
"""
ROOMY = """
from multiprocessing.shared_memory import SharedMemory
s = SharedMemory(create=True, size=80 << 20); s.buf[:] = bytes(80 << 20); s.close(); s.unlink()
open('sparse', 'wb').truncate(2 << 30)
import os
print(os.stat('sparse').st_blocks, os.stat('/dev/shm').st_dev != os.stat('/dev').st_dev)
"""
TCP = """
import socket, time
server, held = socket.create_server(('127.0.0.1', 0)), []
for _ in range(300):
    held.append((socket.create_connection(server.getsockname()), server.accept()[0]))
    held[-1][0].setblocking(False)
    try:
        while True: held[-1][0].send(bytes(1 << 16))
    except BlockingIOError: pass
time.sleep(120)
"""
FILL_TMPDIR = """
import tempfile, time
f = tempfile.TemporaryFile()
for _ in range(300): f.write(bytes(1 << 20))
f.flush()
print('taken', flush=True)
time.sleep(120)
"""


def test_everything_at_once_leaves_the_sandbox_as_it_was(world: World) -> None:
    world.create(make_sandbox("box", resources={"disk": "128Mi", "memory": "256Mi"}))
    pod = world.sandbox("box")["status"]["pod"]["name"]
    world.create(make_execution("evil", code=ALL_AT_ONCE.read_text(), timeoutSeconds=15))
    evil = world.execution("evil")["status"]
    assert (evil["state"], evil["reason"]) == ("Timeout", "TimedOut"), evil
    out = evil["output"]["stdout"]
    assert "DONE" not in out, out
    assert "shmget left" in out, "the end was reached"

    # The next finds nothing, in the same pod, and the limits of disk and memory hold there too.
    world.create(make_execution("after", code=AFTERWARDS))
    after = world.execution("after")["status"]
    assert after["output"]["stdout"] == "[]\n[]\n0\nTrue\n", after["message"]
    world.create(make_execution("roomy", code=ROOMY))
    roomy = world.execution("roomy")["status"]
    assert roomy["output"]["stdout"] == "0 True\n", roomy
    world.create(make_execution("fill", code=FILL_TMPDIR))
    fill = world.execution("fill")["status"]
    assert (fill["state"], fill["reason"]) == ("Failed", "DiskLimit"), fill
    # Buffers of connections to itself, which cgroup v1 charges to nobody.
    world.create(make_execution("tcp", code=TCP))
    tcp = world.execution("tcp")["status"]
    assert (tcp["state"], tcp["reason"]) == ("Failed", "OOMKilled"), tcp
    world.create(make_execution("last", code="print('well')"))
    assert world.execution("last")["status"]["output"]["stdout"] == "well\n"
    box = world.sandbox("box")["status"]
    assert (box["pod"]["name"], box["incarnation"]) == (pod, 1), box
