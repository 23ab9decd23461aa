"""A result that is none: A54. What the runner reads for a program, the program could not read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.support.attack_pod import PLACE, attack, pid_outside, still_works
from tests.support.runner_client import Runner

SECRET = "what an earlier run printed"
LEAD = {
    "a link to what another run printed": "os.symlink(theirs, result)",
    "a link to the journal": f"os.symlink('{PLACE}/state/tombstones', result)",
    "a second name of what another run printed": "os.link(theirs, result)",
    "a FIFO that nobody writes to": "os.mkfifo(result)",
    "a device": "os.mknod(result, 0o20600, os.makedev(1, 5))",
    "a link into a process": "os.symlink('/proc/1/root/mnt/output', result)",
    "a hole of terabytes": "open(result, 'wb').truncate(1 << 42)",
    "a gigabyte": "[f.write(bytes(1 << 20)) for f in [open(result, 'wb')] for _ in range(100)]",
    "a directory without end": "os.makedirs(result + '/d' * 200)",
}


@pytest.mark.parametrize("walls", ["pod", "pod_without_landlock"])
def test_a54_what_leads_elsewhere_is_no_result(walls: str, request: pytest.FixtureRequest) -> None:
    runner: Runner = request.getfixturevalue(walls)
    assert attack(runner, "a54-old", f"print({SECRET!r})") == [SECRET]
    for number, (what, code) in enumerate(LEAD.items()):
        doc = runner.run(f"a54-{number}", f"""
import os
result, theirs = os.environ['SOULBOX_RESULT'], '{PLACE}/output/a54-old.1/stdout'
try: {code}
except OSError as error: print(error)
""", limits={"fileSizeBytes": 1 << 43})  # fmt: skip
        assert doc["result"] == {"outcome": "Exited", "exitCode": 0}, (what, doc["result"])
        left = doc.get("resultFile", {"problem": "none"})
        assert left["problem"] in ("none", "NotAFile", "TooLarge", "Unreadable"), what
        assert "content" not in left, what
    status = Path(f"/proc/{pid_outside(runner)}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 32 * 1024, "kB"
    still_works(runner, "a54-after")


LEASE = f"""
import fcntl, os, signal, time
signal.signal(signal.SIGIO, signal.SIG_IGN)  # asked to give it up, it does not
path = '{PLACE}/tmp/soulbox-a54-leased-1/result.json'
while not os.path.exists(path): time.sleep(0.01)
f = os.open(path, os.O_RDWR)
while True:
    try: fcntl.fcntl(f, 1024, fcntl.F_WRLCK); break
    except OSError: time.sleep(0.01)
os.mkdir('{PLACE}/tmp/leased')
time.sleep(600)
"""


def test_a54_result_that_another_run_has_a_lease_on_holds_up_nothing(pod: Runner) -> None:
    """Whoever opens it waits for the lease to be given up: 45 s, as the kernel has it."""
    pod.put("a54-holder", code=LEASE)
    doc = pod.run("a54-leased", f"""
import os, time
with open(os.environ['SOULBOX_RESULT'], 'w') as f: f.write('1')
while not os.path.exists('{PLACE}/tmp/leased'): time.sleep(0.01)
""")  # fmt: skip
    assert doc["resultFile"]["problem"] == "Unreadable"
    doc = pod.run("a54-own", "import os; open(os.environ['SOULBOX_RESULT'], 'w').write('2')")
    assert base64.b64decode(doc["resultFile"]["content"]) == b"2"
    pod.cancel("a54-holder")
    pod.finish("a54-holder")
