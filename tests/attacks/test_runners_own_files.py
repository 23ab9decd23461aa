"""The runner's own files: A30 to A34, A38."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.attack_pod import PLACE, attack, pid_outside, start_pod, still_works
from tests.support.runner_client import Runner, text, wait_until

PLANT = f"""
import stat
state, output = '{PLACE}/state', '{PLACE}/output'
print(attempt(os.mkfifo, f'{{state}}/next.1.json.tmp'))
print(attempt(os.mknod, f'{{state}}/x', stat.S_IFREG | 0o600))
print(attempt(os.mknod, f'{{state}}/x', stat.S_IFSOCK | 0o600))
print(attempt(os.mknod, f'{{state}}/x', stat.S_IFCHR | 0o600, os.makedev(1, 3)))
print(attempt(os.mknod, f'{{state}}/x', stat.S_IFBLK | 0o600, os.makedev(7, 0)))
print(attempt(socket.socket(socket.AF_UNIX).bind, f'{{state}}/sock'))
print(attempt(os.symlink, '/etc', f'{{state}}/next.1.json.tmp'))
print(attempt(os.mkdir, f'{{state}}/next.1.json.tmp'))
print(attempt(os.link, '/proc/self/exe', f'{{state}}/x'))
print(attempt(os.rename, 'here', f'{{state}}/next.1.json.tmp'))
print(attempt(os.open, f'{{state}}/x', os.O_CREAT | os.O_WRONLY))
print(attempt(os.open, f'{{state}}', os.O_TMPFILE | os.O_WRONLY))
print(attempt(os.open, f'{{state}}/tombstones', os.O_RDONLY))
print(attempt(os.truncate, f'{{state}}/tombstones', 0))
print(attempt(os.unlink, f'{{state}}/tombstones'))
print(attempt(os.rename, f'{{state}}/tombstones', f'{{state}}/y'))
print(attempt(os.mkfifo, f'{{output}}/planted.1/stdout.head'))
print(attempt(os.rename, f'{{output}}/planted.1', f'{{output}}/z'))
"""


def test_a30_a32_nothing_can_be_made_or_changed_in_the_runners_directories(pod: Runner) -> None:
    lines = attack(pod, "planted", "open('here', 'w')\n" + PLANT)
    links = {8: {"EACCES", "EXDEV", "EPERM"}, 9: {"EACCES", "EXDEV"}, 3: {"EACCES", "EPERM"},
             4: {"EACCES", "EPERM"}}  # fmt: skip
    for i, line in enumerate(lines):
        assert line in links.get(i, {"EACCES"}), (i, line)
    still_works(pod, "planted-after")


@pytest.mark.parametrize("what", ["mkfifo({0!r})", "symlink('/etc/passwd', {0!r})", "mkdir({0!r})"])
def test_a31_a32_without_landlock_what_lies_in_the_way_is_replaced(
    pod_without_landlock: Runner, what: str
) -> None:
    """Opened, a FIFO would hold up every call from then on."""
    runner, uid = pod_without_landlock, f"way{len(what)}"
    own = f"{PLACE}/output/{uid}.1"
    ways = [f"{PLACE}/state/{uid}-next.1.json.tmp", f"{own}/stdout.head", f"{own}/stdout.tail",
            f"{own}/file-0", f"{PLACE}/state/{uid}.1.json.tmp"]  # fmt: skip
    code = "import os\n" + "".join(f"os.{what.format(way)}\n" for way in ways)
    code += "open('captured.txt', 'w').write('mine')\nprint('x' * 200_000)"
    doc = runner.run(uid, code, outputLimitBytes=1000, captureFiles=["captured.txt"])
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
    assert doc["output"]["stdout"]["bytes"] == 200_001
    assert [file["size"] for file in doc["files"]] == [4]
    reply = runner.call("GET", f"/v1/executions/{uid}/1/files/captured.txt?offset=0")
    assert reply.body == b"mine"
    assert text(runner.run(f"{uid}-next", "print(1)")["output"]["stdout"]) == "1\n"


@pytest.mark.parametrize("what", ["mkfifo({0!r})", "symlink('/etc/passwd', {0!r})", "mkdir({0!r})"])
def test_a33_without_landlock_only_a_regular_file_is_read_as_output(
    pod_without_landlock: Runner, what: str
) -> None:
    runner, uid = pod_without_landlock, f"a33-{len(what)}"
    runner.run(f"{uid}-old", "print('earlier')")
    path = f"{PLACE}/output/{uid}-old.1/stdout"
    runner.run(uid, f"import os\nos.unlink({path!r})\nos.{what.format(path)}")
    reply = runner.call("GET", f"/v1/executions/{uid}-old/1/output/stdout?offset=0")
    assert reply.status == 500
    assert b"root:" not in reply.body
    still_works(runner, f"{uid}-after")


def test_a21_the_container_s_own_message_is_bounded(binary: Path) -> None:
    """The kubelet's file lies among the runner's own: hidden, and counted where it is not."""
    with start_pod(binary, "--disk-limit-bytes=5000000", "--landlock=false") as runner:
        root = Path(f"/proc/{pid_outside(runner)}/root")
        (root / "mnt/state/termination").touch()
        (root / "mnt/state/termination").chmod(0o666)
        doc = runner.run(
            "a21",
            f"import time\nopen('{PLACE}/state/termination', 'w').write('x' * 9_000_000)\n"
            "time.sleep(600)",
            timeoutSeconds=30,
        )
        assert doc["result"]["outcome"] == "DiskLimit", doc["result"]
        left = root / "mnt/state/termination"
        wait_until(lambda: left.stat().st_size == 0, "the message to be emptied")
