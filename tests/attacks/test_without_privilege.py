"""What a program is refused because it has no privilege and gains none: A24, A34, A50, A51, and
more of the kind.

Most of it the kernel refuses: no capabilities, no_new_privs, and Landlock, under which nothing is
written below /proc. The control for set-user-id files shows that they work outside.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.attack_pod import PLACE, attack, still_works, words
from tests.support.runner_client import HIGH_UID, Runner

# Written by whoever may: the whole kernel, or the whole pod, would obey.
FILES_OF_THE_KERNEL = [
    "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/vm/drop_caches", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/mmap_min_addr",
    "/proc/sys/fs/protected_hardlinks", "/proc/sys/fs/suid_dumpable",
    "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ping_group_range",
    "/proc/sys/user/max_user_namespaces", "/proc/irq/default_smp_affinity", "/proc/timer_list",
    "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/setgroups", "/proc/self/loginuid",
    "/proc/self/coredump_filter", "/proc/self/timerslack_ns", "/proc/self/attr/current",
    "/proc/1/oom_score_adj", "/proc/1/comm", "/proc/1/autogroup", "/proc/1/timerslack_ns",
    "/sys/power/state", "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/ksm/run", "/sys/kernel/profiling", "/sys/module/kernel/parameters/panic",
    "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/release_agent",
    "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/pids/cgroup.procs",
    "/sys/fs/cgroup/devices/devices.allow", "/sys/class/net/lo/mtu",
    "/sys/firmware/acpi/pm_profile",
]  # fmt: skip

READ = ["/proc/kmsg", "/proc/kcore", "/proc/1/environ", "/proc/1/mem", "/proc/1/maps",
        "/proc/1/smaps", "/proc/1/numa_maps", "/proc/1/pagemap", "/proc/1/auxv", "/proc/1/io",
        "/proc/1/stack", "/proc/1/syscall", "/proc/1/personality", "/proc/1/map_files",
        "/etc/shadow", f"{PLACE}/state/tombstones"]  # fmt: skip

# id: (Python that gives a word, the words that a refusal has).
REFUSED: dict[str, tuple[str, set[str]]] = {
    "A50 setuid": ("os.setuid(0)", {"EPERM"}),
    "A50 setgid": ("os.setgid(0)", {"EPERM"}),
    "A50 setreuid": ("os.setreuid(-1, 0)", {"EPERM"}),
    "A50 setresuid": ("os.setresuid(0, 0, 0)", {"EPERM"}),
    "A50 setresgid": ("os.setresgid(0, 0, 0)", {"EPERM"}),
    "A50 setgroups": ("os.setgroups([0])", {"EPERM"}),
    "A50 the user of file systems":
        ("str(libc.setfsuid(0) == libc.setfsuid(-1) == os.getuid())", {"True"}),
    "A50 a file of root's": ("os.chown('mine', 0, 0)", {"EPERM"}),
    "A50 a file of somebody's": ("os.chown('mine', 1000, -1)", {"EPERM"}),
    "A50 somebody's file": ("os.chmod('/etc/passwd', 0o666)", {"EPERM", "EROFS"}),
    "A50 capabilities of a file":
        ("os.setxattr('mine', 'security.capability', bytes(20))", {"EPERM", "EINVAL", "ENOTSUP"}),
    "A50 a trusted attribute": ("os.setxattr('mine', 'trusted.x', b'1')", {"EPERM", "ENOTSUP"}),
    "A50 its own capabilities": ("call(126, capability_header, all_of_them)", {"EPERM"}),
    "A50 an ambient capability": ("call(157, 47, 2, 21, 0, 0)", {"EPERM"}),
    "A50 out of the bounding set": ("call(157, 24, 21, 0, 0, 0)", {"EPERM"}),
    "A50 secure bits": ("call(157, 28, 0, 0, 0, 0)", {"EPERM"}),
    "A50 new privileges again": ("call(157, 38, 0, 0, 0, 0)", {"EINVAL"}),
    "A50 credentials of another in a message": ("as_another()", {"EPERM"}),
    "A24 a higher limit of open files":
        ("prlimit(0, resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))", {"EPERM", "ValueError"}),
    "A24 a higher limit of processes":
        ("prlimit(0, resource.RLIMIT_NPROC, (1 << 20, 1 << 20))", {"EPERM", "ValueError"}),
    "A24 core dumps": ("prlimit(0, resource.RLIMIT_CORE, (1, 1))", {"EPERM", "ValueError"}),
    "A24 larger files":
        ("prlimit(0, resource.RLIMIT_FSIZE, (1 << 62, 1 << 62))", {"EPERM", "ValueError"}),
    "A24 all memory locked": ("str(libc.mlockall(7))", {"-1"}),
    "A24 a real-time scheduler":
        ("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", {"EPERM"}),
    "A24 a deadline": ("call(314, 0, deadline, 0)", {"EPERM"}),
    "A24 a better nice": ("os.setpriority(os.PRIO_PROCESS, 0, -5)", {"EACCES", "EPERM"}),
    "A24 real-time I/O": ("call(251, 1, 0, 1 << 13)", {"EPERM"}),
    "A24 larger buffers than allowed": ("sock.setsockopt(1, 33, 1 << 28)", {"EPERM"}),
    "A51 a character device": ("os.mknod('dev', stat.S_IFCHR | 0o666, 0x103)", {"EPERM"}),
    "A51 a block device": ("os.mknod('dev', stat.S_IFBLK | 0o666, 0x700)", {"EPERM"}),
    "A51 memory of the machine as a device":
        ("os.mknod('dev', stat.S_IFCHR | 0o666, os.makedev(1, 1))", {"EPERM"}),
    "A51 raw IP": ("socket.socket(2, socket.SOCK_RAW, 1)", {"EPERM"}),
    "A51 raw IPv6": ("socket.socket(10, socket.SOCK_RAW, 58)", {"EPERM"}),
    "A51 packets": ("socket.socket(17, socket.SOCK_RAW, 3)", {"EAFNOSUPPORT"}),
    "A51 marks of packets": ("sock.setsockopt(1, 36, 1)", {"EPERM"}),
    "A51 addresses of others": ("sock.setsockopt(0, 19, 1)", {"EPERM"}),
    "A51 a taken-over connection": ("sock.setsockopt(6, 19, 1)", {"EPERM"}),
    "A51 an interface's size of packets":
        ("fcntl.ioctl(sock, 0x8922, struct.pack('16si20x', b'lo', 65536))", {"EPERM"}),
    "A51 an interface renamed": ("fcntl.ioctl(sock, 0x8923, b'lo'.ljust(40, bytes(1)))", {"EPERM"}),
    "A51 an address by netlink": ("netlink(20)", {"EPERM"}),
    "A51 a route by netlink": ("netlink(24)", {"EPERM"}),
    "A51 an interface by netlink": ("netlink(16)", {"EPERM"}),
    "A34 a hard link to a file of root's":
        ("os.link('/etc/passwd', 'passwd')", {"EXDEV", "EPERM", "EACCES"}),
    "A34 a hard link to the runner":
        ("os.link('/proc/1/exe', 'exe', follow_symlinks=True)", {"EXDEV", "EPERM", "EACCES"}),
    "A34 a hard link by descriptor":
        ("call(265, -100, b'/proc/1/exe', -100, b'exe', 0x400)", {"EXDEV", "EPERM", "EACCES"}),
    "A34 the workspace moved away":
        (f"os.rename('{PLACE}/workspace', '{PLACE}/elsewhere')", {"EACCES", "EBUSY", "EXDEV"}),
    "A34 the workspace removed": (f"os.rmdir('{PLACE}/workspace')", {"EACCES", "EBUSY"}),
    "A34 a lease on a file of root's": ("fcntl.fcntl(passwd, 1024, 0)", {"EACCES"}),
    "A34 immutable": ("fcntl.ioctl(mine, 0x40086602, struct.pack('l', 16))", {"EPERM", "ENOTTY"}),
    "A01 the group of PID 1": ("os.setpgid(0, 1)", {"EPERM"}),
    "A01 its whole group killed": ("os.killpg(os.getpgid(launcher), 9)", {"EPERM"}),
    "A01 each of its threads": ("threads_of(1)", {"EPERM"}),
    "A01 each of the launcher's threads": ("threads_of(launcher)", {"EPERM"}),
    "A05 its locks": ("call(274, 1, ctypes.byref(head), ctypes.byref(size))", {"EPERM"}),
    "A05 a terminal of its own": ("open('/dev/tty')", {"ENXIO", "ENOENT"}),
    "A12 the kernel's choice for PID 1":
        ("open('/proc/1/oom_score_adj', 'w').write('1000')", {"EACCES"}),
    "A12 by the older name": ("open('/proc/1/oom_adj', 'w').write('15')", {"EACCES"}),
}  # fmt: skip

MORE = """
import stat
mine = os.open('mine', os.O_CREAT | os.O_RDWR)
passwd = os.open('/etc/passwd', os.O_RDONLY)
capability_header = struct.pack('Ii', 0x20080522, 0)
all_of_them = struct.pack('IIIIII', *[2 ** 32 - 1] * 6)
deadline = struct.pack('IIQiIQQQ', 48, 6, 0, 0, 0, 10 ** 6, 10 ** 7, 10 ** 7)
head, size = ctypes.c_void_p(), ctypes.c_size_t()
def as_another():
    ours, theirs = socket.socketpair()
    ours.sendmsg([b'x'], [(1, 2, struct.pack('iII', 1, 0, 0))])
def netlink(kind):  # about the first interface; nothing is asked that would change it
    with socket.socket(16, socket.SOCK_RAW, 0) as route:
        body = struct.pack('BBHiII', 0, 0, 0, 1, 0, 0)
        route.send(struct.pack('IHHII', 16 + len(body), kind, 5, 1, 0) + body)
        number = -struct.unpack_from('i', route.recv(4096), 16)[0]
        return errno.errorcode[number] if number else 'done'
def threads_of(pid):
    found = {call(200, int(tid), 0) for tid in os.listdir(f'/proc/{pid}/task')}
    return ' '.join(sorted(found))
"""


@pytest.fixture(scope="module")
def found(pod: Runner) -> dict[str, str]:
    return dict(zip(REFUSED, words(pod, "refused", ask(REFUSED), MORE), strict=True))


def ask(rows: dict[str, tuple[str, set[str]]]) -> list[str]:
    return [row[0] for row in rows.values()]


@pytest.mark.parametrize("name", REFUSED)
def test_unprivileged_program_is_refused(found: dict[str, str], name: str) -> None:
    assert found[name] in REFUSED[name][1]


@pytest.fixture(scope="module")
def written(pod: Runner) -> dict[str, str]:
    asked = [f"os.close(os.open({path!r}, os.O_WRONLY))" for path in FILES_OF_THE_KERNEL]
    return dict(zip(FILES_OF_THE_KERNEL, words(pod, "written", asked), strict=True))


@pytest.mark.parametrize("path", FILES_OF_THE_KERNEL)
def test_a51_files_of_the_kernel_cannot_be_written(written: dict[str, str], path: str) -> None:
    """Below /proc Landlock refuses, elsewhere the owner; some are not there at all."""
    below_proc = {"EACCES", "ENOENT"}
    assert written[path] in below_proc | (set() if path[:6] == "/proc/" else {"EROFS", "EPERM"})


@pytest.fixture(scope="module")
def read(pod: Runner) -> dict[str, str]:
    return dict(zip(READ, words(pod, "read", [f"look({path!r})" for path in READ], """
def look(path):
    (os.listdir if os.path.isdir(path) else lambda p: os.read(os.open(p, os.O_RDONLY), 1))(path)
"""), strict=True))  # fmt: skip


@pytest.mark.parametrize("path", READ)
def test_a05_what_is_others_cannot_be_read(read: dict[str, str], path: str) -> None:
    assert read[path] in {"EACCES", "EPERM", "ENOENT"}


def test_a50_set_user_id_has_no_effect(pod: Runner, binary: Path) -> None:
    """Neither of root's files nor of the program's own."""
    for name, bits in (("as-root", 0o4755), ("as-group", 0o2755)):
        copy = binary.parent / name
        shutil.copy("/usr/bin/id", copy)
        copy.chmod(bits)
    equal = ["setpriv", f"--reuid={HIGH_UID}", f"--regid={HIGH_UID}", "--clear-groups"]
    control = subprocess.run([*equal, str(binary.parent / "as-root"), "-u"],
                             check=True, capture_output=True, text=True)  # fmt: skip
    assert control.stdout == "0\n", "the control no longer shows that it is no_new_privs"
    lines = attack(pod, "a50", f"""
import shutil, subprocess
shutil.copy('/usr/bin/id', 'own')
os.chmod('own', 0o6755)
for path in ('{binary.parent}/as-root', '{binary.parent}/as-group', './own'):
    for flag in ('-u', '-g'):
        print(subprocess.check_output([path, flag], text=True).strip())
""")  # fmt: skip
    assert lines == [str(HIGH_UID)] * 6


def test_a24_what_can_be_used_up_ends_at_its_limit(pod: Runner) -> None:
    """Descriptors, inotify, pipes, timers, queues, locks: of one run, and not of the next."""
    lines = attack(pod, "a24", """
resource.setrlimit(resource.RLIMIT_NOFILE, (1024,) * 2)
def until_refused(make, most):
    held = []
    for _ in range(most):
        try:
            held.append(make())
        except OSError as error:
            word = errno.errorcode[error.errno]
            break
    else:
        word = 'none'
    for one in held:
        if isinstance(one, int):
            os.close(one)
    return f'{word} {len(held)}' if make is devnull else word
def new(number, *args):
    done = libc.syscall(number, *args)
    if done < 0:
        raise OSError(ctypes.get_errno(), '')
    return done
def devnull(): return os.open('/dev/null', os.O_RDONLY)
print(until_refused(devnull, 5000))
print(until_refused(lambda: new(294, 0), 5000))  # inotify: the kernel's own bound
print(until_refused(lambda: new(291, 0), 5000))  # epoll
print(until_refused(lambda: new(290, 0, 0), 5000))  # eventfd
print(until_refused(lambda: new(283, 1, 0), 5000))  # timerfd
print(until_refused(lambda: new(319, b'x', 0), 5000))  # memfd
print(until_refused(lambda: socket.socket(), 5000))
""")  # fmt: skip
    assert lines == ["EMFILE 1021", *["EMFILE"] * 6]
    still_works(pod, "a24-after")
