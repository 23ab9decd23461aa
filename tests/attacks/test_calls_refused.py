"""System calls that the runner's filter refuses: A03, A06 to A11, A45 to A49, and more of the kind.

Each is tried in two pods: where the control can do it, or fails otherwise, the filter refused.
"""

from __future__ import annotations

import platform

import pytest

from tests.support.attack_pod import words
from tests.support.runner_client import Runner

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")

# id: (Python that gives a word, what the filter makes of it, what comes without it).
# A word of None: the kernel refuses it too, from whoever has no privilege.
REFUSED: dict[str, tuple[str, str, str | None]] = {
    "A03 queued fault signal to PID 1": ("sigqueue(1, signal.SIGURG)", "EPERM", "done"),
    "A03 the same to the launcher": ("sigqueue(launcher, signal.SIGURG)", "EPERM", "done"),
    "A03 the same with the upper half set": (
        "call(129, (1 << 32) | 1, signal.SIGURG, info)", "EPERM", "done"),
    "A03 a descriptor's owner, a group": ("fcntl.fcntl(pipe, fcntl.F_SETOWN, -1)", "EPERM", None),
    "A03 the same to one thread": ("call(297, 1, 1, signal.SIGURG, info)", "EPERM", "done"),
    "A03 the same by a pidfd": (
        "call(424, os.pidfd_open(1), signal.SIGURG, info, 0)", "EPERM", "done"),
    "A03 a descriptor's owner": ("fcntl.fcntl(pipe, fcntl.F_SETOWN, 1)", "EPERM", "done"),
    "A03 the same, extended": ("call(72, pipe, 15, owner_ex)", "EPERM", "done"),
    "A03 the same by FIOSETOWN": ("fcntl.ioctl(sock, 0x8901, one)", "EPERM", "done"),
    "A03 the same by SIOCSPGRP": ("fcntl.ioctl(sock, 0x8902, one)", "EPERM", "done"),
    "A03 its signal": ("call(72, pipe, 10, signal.SIGSEGV)", "EPERM", "done"),
    "A05 process_vm_readv": ("call(310, os.getpid(), 0, 0, 0, 0, 0)", "EPERM", "done"),
    "A05 process_vm_writev": ("call(311, os.getpid(), 0, 0, 0, 0, 0)", "EPERM", "done"),
    "A05 kcmp": ("call(312, os.getpid(), os.getpid(), 0, 0, 0)", "EPERM", "done"),
    "A05 pidfd_getfd": ("call(438, os.pidfd_open(os.getpid()), 0, 0)", "EPERM", "done"),
    "A06 ptrace attach": ("call(101, 16, child, 0, 0)", "EPERM", "done"),
    "A06 ptrace seize": ("call(101, 0x4206, sibling, 0, 0)", "EPERM", "done"),
    "A07 the same with the upper half set": (
        "call(302, (1 << 32) | 1, 0, limit_of_1, 0)", "EPERM", "done"),
    "A07 memory of PID 1": ("prlimit(1, resource.RLIMIT_AS, (1 << 46, -1))", "EPERM", "done"),
    "A07 threads of PID 1": ("prlimit(1, resource.RLIMIT_NPROC, (4096, -1))", "EPERM", "done"),
    "A07 CPU limit of PID 1": ("prlimit(1, resource.RLIMIT_CPU, (99999, -1))", "EPERM", "done"),
    "A08 file size limit of PID 1": ("prlimit(1, resource.RLIMIT_FSIZE, (1 << 40, -1))",
        "EPERM", "done"),
    "A08 descriptor limit of PID 1": ("prlimit(1, resource.RLIMIT_NOFILE, (1000, 4096))",
        "EPERM", "done"),
    "A10 limits of the launcher": ("prlimit(launcher, resource.RLIMIT_CPU, (99999, -1))",
        "EPERM", "done"),
    "A10 of a run beside": ("prlimit(child, resource.RLIMIT_CPU, (99999, -1))", "EPERM", "done"),
    "A11 SCHED_IDLE for PID 1": ("os.sched_setscheduler(1, os.SCHED_OTHER, os.sched_param(0))",
        "EPERM", "done"),
    "A11 sched_setparam": ("os.sched_setparam(1, os.sched_param(0))", "EPERM", "done"),
    "A11 sched_setattr": ("call(314, 1, sched_attr, 0)", "EPERM", "done"),
    "A11 nice of PID 1": ("os.setpriority(os.PRIO_PROCESS, 1, 19)", "EPERM", "done"),
    "A11 nice of its group": ("os.setpriority(os.PRIO_PGRP, 1, 19)", "EPERM", "ESRCH"),
    "A11 nice of the user": ("os.setpriority(os.PRIO_USER, 0, 19)", "EPERM", "done"),
    "A11 I/O priority of PID 1": ("call(251, 1, 1, 0x4004)", "EPERM", "done"),
    "A11 I/O priority of the user": ("call(251, 3, 0, 0x4004)", "EPERM", None),
    "A11 memory of PID 1 moved": ("call(279, 1, 0, 0, 0, 0, 0)", "EPERM", None),
    "A11 memory of PID 1 to other nodes": ("call(256, 1, 8, 0, 0)", "EPERM", None),
    "A11 process_madvise": ("call(440, -1, 0, 0, 0, 0)", "EPERM", "EBADF"),
    "A11 process_mrelease": ("call(448, -1, 0)", "EPERM", "EBADF"),
    "A45 unshare user": ("alone('call(272, 0x10000000)')", "EPERM", None),
    "A45 unshare time": ("alone('call(272, 0x80)')", "EPERM", None),
    "A45 clone user": ("alone('call(56, 0x10000000 | 17, 0, 0, 0, 0)')", "EPERM", None),
    "A45 unshare mounts": ("alone('call(272, 0x20000)')", "EPERM", None),
    "A45 unshare names of the host": ("alone('call(272, 0x4000000)')", "EPERM", None),
    "A45 unshare IPC": ("alone('call(272, 0x8000000)')", "EPERM", None),
    "A45 unshare processes": ("alone('call(272, 0x20000000)')", "EPERM", None),
    "A45 unshare the network": ("alone('call(272, 0x40000000)')", "EPERM", None),
    "A45 unshare cgroups": ("alone('call(272, 0x2000000)')", "EPERM", None),
    "A45 a flag hidden among others": ("alone('call(272, 0x400 | 0x10000000)')", "EPERM", None),
    "A45 clone with a flag and the upper half set":
        ("alone('call(56, (7 << 32) | 0x20000000 | 17, 0, 0, 0, 0)')", "EPERM", None),
    "A45 clone3": ("call(435, 0, 0)", "ENOSYS", "EINVAL"),
    "A45 setns": ("call(308, -1, 0)", "EPERM", "EBADF"),
    "A46 mount": ("call(165, 0, 0, 0, 0, 0)", "EPERM", None),
    "A46 umount": ("call(166, b'/proc', 0)", "EPERM", None),
    "A46 pivot_root": ("call(155, b'/', b'/')", "EPERM", None),
    "A46 chroot": ("call(161, b'/nowhere')", "EPERM", "ENOENT"),
    "A46 fsopen": ("call(430, b'proc', 0)", "EPERM", None),
    "A46 open_tree": ("call(428, -1, b'nowhere', 0)", "EPERM", "EBADF"),
    "A46 open_tree_attr": ("call(467, -1, b'nowhere', 0, 0, 0)", "EPERM", "EBADF"),
    "A46 move_mount": ("call(429, -1, b'', -1, b'', 0)", "EPERM", None),
    "A46 mount_setattr": ("call(442, -1, b'nowhere', 0, 0, 0)", "EPERM", "EINVAL"),
    "A46 fspick": ("call(433, -1, b'nowhere', 0)", "EPERM", None),
    "A46 fsconfig": ("call(431, -1, 0, 0, 0, 0)", "EPERM", "EINVAL"),
    "A46 fsmount": ("call(432, -1, 0, 0)", "EPERM", None),
    "A47 bpf": ("call(321, 99, 0, 0)", "EPERM", None),
    "A47 perf_event_open": ("call(298, 0, 0, 0, -1, 0)", "EPERM", "EFAULT"),
    "A47 userfaultfd": ("call(323, 0xffff)", "EPERM", None),
    "A47 keyctl": ("call(250, 0, -3, 0)", "EPERM", "done"),
    "A47 add_key": ("call(248, b'user', b'k', b'v', 1, -2)", "EPERM", "done"),
    "A47 request_key": ("call(249, b'user', b'none', 0, 0)", "EPERM", "ENOKEY"),
    "A47 memfd_secret": ("call(447, 0xffff)", "EPERM", None),
    "A47 fanotify": ("call(300, 0xffffffff, 0)", "EPERM", None),
    "A47 open_by_handle_at": ("call(304, -1, 0, 0)", "EPERM", None),
    "A47 kexec_load": ("call(246, 0, 0, 0, 0)", "EPERM", None),
    "A47 init_module": ("call(175, 0, 0, 0)", "EPERM", None),
    "A47 syslog": ("call(103, 10, 0, 0)", "EPERM", None),
    "A47 quotactl": ("call(179, 0, 0, 0, 0)", "EPERM", None),
    "A47 modify_ldt": ("call(154, 0, 0, 0)", "EPERM", "done"),
    "A47 iopl": ("call(172, 3)", "EPERM", None),
    "A47 kexec_file_load": ("call(320, -1, -1, 0, 0, 0)", "EPERM", None),
    "A47 finit_module": ("call(313, -1, b'', 0)", "EPERM", None),
    "A47 delete_module": ("call(176, b'none', 0)", "EPERM", None),
    "A47 reboot": ("call(169, 0, 0, 0, 0)", "EPERM", None),
    "A47 acct": ("call(163, 0)", "EPERM", None),
    "A47 swapon": ("call(167, b'/dev/null', 0)", "EPERM", None),
    "A47 swapoff": ("call(168, b'/dev/null')", "EPERM", None),
    "A47 quotactl_fd": ("call(443, -1, 0, 0, 0)", "EPERM", "EBADF"),
    "A47 settimeofday": ("call(164, 0, 0)", "EPERM", None),
    "A47 clock_settime": ("call(227, 0, 0)", "EPERM", "EFAULT"),
    "A47 sethostname": ("call(170, b'x', 1)", "EPERM", None),
    "A47 setdomainname": ("call(171, b'x', 1)", "EPERM", None),
    "A47 vhangup": ("call(153)", "EPERM", None),
    "A47 ioperm": ("call(173, 0, 1, 1)", "EPERM", None),
    "A47 fanotify_mark": ("call(301, -1, 0, 0, -1, 0)", "EPERM", "EINVAL"),
    "A47 ustat": ("call(136, 0, 0)", "EPERM", "EINVAL"),
    "A47 sysfs": ("call(139, 3)", "EPERM", "done"),
    "A47 a character pushed into a terminal":
        ("fcntl.ioctl(sock, 0x5412, b'x')", "EPERM", "ENOTTY"),
    "A47 a terminal's selection": ("fcntl.ioctl(sock, 0x541c, b'x')", "EPERM", "ENOTTY"),
    "A47 a call newer than the filter": ("call(468, -1, 0, 0, 0, 0)", "ENOSYS", "EINVAL"),
    "A47 the x32 door": ("call(0x40000000 + 39)", "ENOSYS", None),
    "A48 io_uring_setup": ("call(425, 8, ring)", "EPERM", "done"),
    "A48 io_uring_enter": ("call(426, -1, 0, 0, 0, 0, 0)", "EPERM", "EBADF"),
    "A48 io_uring_register": ("call(427, -1, 0, 0, 0)", "EPERM", "EINVAL"),
    "A49 vsock": ("socket.socket(40, socket.SOCK_STREAM)", "EAFNOSUPPORT", "done"),
    "A49 AF_ALG": ("socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)", "EAFNOSUPPORT", None),
    "A49 AF_PACKET": ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "EAFNOSUPPORT", "EPERM"),
    "A49 AF_KEY": ("socket.socket(15, socket.SOCK_RAW, 2)", "EAFNOSUPPORT", None),
    "A49 AF_XDP": ("socket.socket(44, socket.SOCK_RAW)", "EAFNOSUPPORT", None),
    "A49 netlink of the firewall": ("socket.socket(16, socket.SOCK_RAW, 12)", "EAFNOSUPPORT", None),
    "A49 netlink of udev": ("socket.socket(16, socket.SOCK_RAW, 15)", "EAFNOSUPPORT", "done"),
    "A49 Bluetooth": ("socket.socket(31, socket.SOCK_RAW)", "EAFNOSUPPORT", None),
    "A49 CAN": ("socket.socket(29, socket.SOCK_RAW)", "EAFNOSUPPORT", None),
    "A49 a family with the upper half set":
        ("call(41, (1 << 32) | 40, 1, 0)", "EAFNOSUPPORT", "done"),
    "A49 a pair of TIPC": ("call(53, 30, 1, 0, pair)", "EAFNOSUPPORT", None),
    "A18 closed to the runner's look": ("call(157, 4, 0, 0, 0, 0)", "EPERM", "done"),
}  # fmt: skip

# What the same calls are for in honest programs; the filter must not be in the way.
ALLOWED: dict[str, str] = {
    "own limits": "prlimit(0, resource.RLIMIT_CORE, (0, 0))",
    "own limits by pid": "prlimit(os.getpid(), resource.RLIMIT_CORE, (0, 0))",
    "limits of another, read": "resource.prlimit(launcher, resource.RLIMIT_CORE)",
    "nice of oneself by pid": "os.setpriority(os.PRIO_PROCESS, os.getpid(), 19)",
    "nice of one's group": "os.setpriority(os.PRIO_PGRP, os.getpgrp(), 19)",
    "SCHED_BATCH for oneself":
        "os.sched_setscheduler(os.getpid(), os.SCHED_BATCH, os.sched_param(0))",
    "affinity of a thread":
        "os.sched_setaffinity(threading.get_native_id(), os.sched_getaffinity(0))",
    "I/O priority of oneself": "call(251, 1, os.getpid(), 0x4004)",
    "a queued signal to oneself": "sigqueue(os.getpid(), signal.SIGURG)",
    "a plain signal by pidfd": "signal.pidfd_send_signal(os.pidfd_open(child), 0)",
    "O_ASYNC for oneself": "fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())",
    "a real-time signal for it": "call(72, pipe, 10, 40)",
    "trace by one's parent": "traced_child()",
    "socket of every usual kind":
        "[socket.socket(f, t) for f in (1, 2, 10) for t in (1, 2)]",
    "addresses of the machine": "socket.if_nameindex()",
    "netlink route": "socket.socket(16, socket.SOCK_RAW, 0)",
    "own descriptor table": "call(272, 0x400)",
    "dumpable": "call(157, 4, 1, 0, 0, 0)",
    "name of the thread": "call(157, 15, b'name', 0, 0, 0)",
    "memfd": "os.memfd_create('x')",
    "a filter of one's own": "call(317, 2, 0, errno_action)",
}  # fmt: skip


@pytest.fixture(scope="module")
def under_filter(pod_without_landlock: Runner) -> dict[str, str]:
    found = words(pod_without_landlock, "refused", [row[0] for row in REFUSED.values()])
    return dict(zip(REFUSED, found, strict=True))


@pytest.fixture(scope="module")
def control(pod_without_seccomp: Runner) -> dict[str, str]:
    found = words(pod_without_seccomp, "refused", [row[0] for row in REFUSED.values()])
    return dict(zip(REFUSED, found, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_call_is_refused_by_the_filter(
    under_filter: dict[str, str], control: dict[str, str], name: str
) -> None:
    _, want, without = REFUSED[name]
    assert under_filter[name] == want
    if without is not None:
        assert control[name] == without, "the control no longer shows that it is the filter"


def test_honest_uses_of_the_same_calls_are_allowed(pod: Runner) -> None:
    found = words(pod, "allowed", list(ALLOWED.values()))
    assert dict(zip(ALLOWED, found, strict=True)) == dict.fromkeys(ALLOWED, "done")
