"""What a run leaves to the next: A22, A41, A44; and what concurrent runs keep."""

from __future__ import annotations

from tests.support.attack_pod import PLACE, PRELUDE, attack
from tests.support.runner_client import Runner, text, wait_until

LEAVE = f"""
open('/dev/shm/left', 'wb').write(bytes(8 << 20))
os.makedirs('/dev/shm/deep/er'); open('/dev/shm/deep/er/x', 'w').write('x')
os.chmod('/dev/shm/deep', 0)
from multiprocessing.shared_memory import SharedMemory
s = SharedMemory(create=True, size=1 << 20); s.buf[0] = 1
open('{PLACE}/tmp/left', 'w').write('x'); os.symlink('/etc', '{PLACE}/tmp/link')
os.mkfifo('{PLACE}/tmp/fifo')
assert libc.shmget(0, 1 << 20, 0o1600) >= 0
assert libc.semget(0, 1, 0o1600) >= 0
assert libc.msgget(0, 0o1600) >= 0
os.open('/dev/mqueue/left', os.O_CREAT | os.O_RDWR, 0o600)
open('kept', 'w').write('x')
"""
FIND = f"""
print(sorted(os.listdir('/dev/shm') + os.listdir('/dev/mqueue')))
own = os.path.dirname(os.environ['TMPDIR'])
print([n for n in os.listdir('{PLACE}/tmp') if f'{PLACE}/tmp/{{n}}' != own])
for kind in ('shm', 'sem', 'msg'):
    print(len(open(f'/proc/sysvipc/{{kind}}').read().splitlines()) - 1)
print(os.path.exists('kept'), os.path.exists('/etc/passwd'))
"""


def test_a22_the_next_run_finds_nothing_but_the_workspace(pod: Runner) -> None:
    attack(pod, "leave", LEAVE)
    assert attack(pod, "find", FIND) == ["[]", "[]", "0", "0", "0", "True True"]


def test_a22_a_killed_run_leaves_nothing_either(pod: Runner) -> None:
    code = LEAVE + "os.kill(os.getpid(), 9)"
    assert pod.run("leave2", PRELUDE + code)["result"]["outcome"] == "Signaled"
    assert attack(pod, "find2", FIND) == ["[]", "[]", "0", "0", "0", "True True"]


def test_what_another_run_uses_is_let_be(pod: Runner) -> None:
    pod.put("long", code=f"""
import os, time
open('/dev/shm/mine', 'w').write('x')
open('{PLACE}/tmp/ready', 'w').close()
end = time.monotonic() + 30
while not os.path.exists('{PLACE}/tmp/go') and time.monotonic() < end: time.sleep(0.01)
print(os.path.exists('/dev/shm/mine'))
""")  # fmt: skip
    code = f"import os, time\nwhile not os.path.exists('{PLACE}/tmp/ready'): time.sleep(0.01)"
    assert pod.run("short", code)["result"]["outcome"] == "Exited"
    assert pod.run("go", f"open('{PLACE}/tmp/go', 'w')")["result"]["outcome"] == "Exited"
    assert text(pod.finish("long")["output"]["stdout"]) == "True\n"
    assert attack(pod, "find3", FIND)[:2] == ["[]", "[]"]


def test_a41_a_tree_without_end_in_tmpdir_is_removed(pod: Runner) -> None:
    attack(pod, "a41", """
os.chdir(os.environ['TMPDIR'])
for _ in range(5000): os.mkdir('d'); os.chdir('d')
""")  # fmt: skip
    wait_until(lambda: attack_lists(pod) == "[]", "an empty directory")


def test_a41_the_next_run_does_not_wait_for_what_takes_long_to_remove(pod: Runner) -> None:
    """What is not gone yet is out of the way, and nothing that the next run makes goes with it."""
    attack(pod, "many", f"""
for place in ('{PLACE}/tmp/tree', '/dev/shm/tree'):
    os.mkdir(place)
    for i in range(15_000): os.close(os.open(f'{{place}}/{{i}}', os.O_CREAT))
    os.chmod(place, 0)
""")  # fmt: skip
    lines = attack(pod, "many-next", f"""
places = ('{PLACE}/tmp', '/dev/shm')
own = os.path.basename(os.path.dirname(os.environ['TMPDIR']))
print(set(sum(map(os.listdir, places), [])) - {{own, '.soulbox-trash'}})
for place in places:
    os.mkdir(place + '/tree'); open(place + '/tree/0', 'w').close()
end = time.monotonic() + 60
while any(os.path.exists(p + '/.soulbox-trash') for p in places) and time.monotonic() < end: pass
print([os.listdir(place + '/tree') for place in places])
print(any(os.path.exists(p + '/.soulbox-trash') for p in places))
""")  # fmt: skip
    assert lines == ["set()", "[['0'], ['0']]", "False"]


def attack_lists(pod: Runner) -> str:
    attack_lists.count = getattr(attack_lists, "count", 0) + 1  # type: ignore[attr-defined]
    return attack(pod, f"list{attack_lists.count}", FIND)[1]  # type: ignore[attr-defined]
