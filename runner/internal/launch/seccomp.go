//go:build linux && (amd64 || arm64)

package launch

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// A seccomp filter of our own, put on each program after no_new_privs. The
// container runtime's filter (RuntimeDefault) guards the node, and knows of no
// runner: programs have its UID, and the kernel lets equals set each other's
// limits and scheduling, and queue signals to each other, without a look at
// Landlock. Nor do all runtimes forbid io_uring, vsock and the like.
//
// What a filter can see is the number and the six registers of a call. A call
// that names a process may name the caller (0) or the run's first process: it
// is of the run, so that nothing but the run is hurt, and tools that give their
// own pid work. That pid is known only after the fork, so there are two
// filters: a large one, which a launcher puts on itself and its programs
// inherit, and a small one for each program. Most of what a filter costs is
// that the kernel tries it on every call there is when it is installed (0.4 ms
// for a chain of a hundred comparisons, measured); hence the trees.
//
// A refused call gives EPERM, as by the container runtimes; ENOSYS where the C
// library then takes the older call, and for calls that came with later
// kernels; EAFNOSUPPORT for families of sockets. A call of another
// architecture (i386) kills: its numbers mean something else.
//
// Links: https://man7.org/linux/man-pages/man2/seccomp.2.html,
// https://docs.kernel.org/userspace-api/seccomp_filter.html

// forbidden are the calls that no program in a sandbox needs. Most want a
// privilege that it does not have anyway: then this is the second wall.
var forbidden = append([]uint32{
	// Other processes: their memory, descriptors, identity.
	unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
	unix.SYS_PROCESS_MRELEASE, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	// Kernel surface that has had more holes than users in containers.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_MEMFD_SECRET,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_LOOKUP_DCOOKIE,
	// Mounts and namespaces.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_FSOPEN,
	unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR,
	unix.SYS_MOVE_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_SETNS,
	// The machine.
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE,
	unix.SYS_DELETE_MODULE, unix.SYS_REBOOT, unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_SWAPON,
	unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SETTIMEOFDAY,
	unix.SYS_CLOCK_SETTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP,
	unix.SYS_NFSSERVCTL,
}, forbiddenHere...)

// newNamespace are the flags of clone(2) that make one; CLONE_NEWTIME, which
// lies among clone's signal bits, is for unshare alone.
const newNamespace = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

const (
	fiosetown    = 0x8901 // asm-generic/sockios.h
	tioclinux    = 0x541c
	ioprioOfUser = 3 // IOPRIO_WHO_USER
	firstRTMin   = 32
)

// makeFilter is the filter of launchers and all their programs.
func makeFilter() []unix.SockFilter {
	rules := map[uint32]func(*assembler){
		unix.SYS_IOCTL: func(a *assembler) {
			a.arg(1)
			for _, command := range []uint32{fiosetown, unix.SIOCSPGRP, unix.TIOCSTI, tioclinux} {
				a.refuseIf(command, unix.EPERM)
			}
		},
		unix.SYS_SOCKET: filterSocket,
		unix.SYS_SOCKETPAIR: func(a *assembler) {
			a.arg(0)
			a.allowIf(unix.AF_UNIX)
			a.refuse(unix.EAFNOSUPPORT)
		},
		unix.SYS_CLONE:   func(a *assembler) { a.refuseFlags(newNamespace) },
		unix.SYS_UNSHARE: func(a *assembler) { a.refuseFlags(newNamespace | unix.CLONE_NEWTIME) },
		unix.SYS_CLONE3:  func(a *assembler) { a.refuse(unix.ENOSYS) }, // its flags are in memory
		unix.SYS_PRCTL:   filterPrctl,
		// With a siginfo it is rt_sigqueueinfo, without it kill(2).
		unix.SYS_PIDFD_SEND_SIGNAL: func(a *assembler) { a.refuseUnlessNull(2) },
		unix.SYS_PTRACE: func(a *assembler) { // a child may ask its parent, as under gdb and strace
			a.arg(0)
			a.refuseIf(unix.PTRACE_ATTACH, unix.EPERM)
			a.refuseIf(unix.PTRACE_SEIZE, unix.EPERM)
		},
	}
	for _, nr := range forbidden {
		rules[nr] = func(a *assembler) { a.refuse(unix.EPERM) }
	}
	return assemble(rules).code
}

// makeOwnFilter is the filter of one program. Own is where the child puts its
// pid.
func makeOwnFilter() (code []unix.SockFilter, own []int) {
	rules := map[uint32]func(*assembler){
		unix.SYS_FCNTL:     filterFcntl,
		unix.SYS_PRLIMIT64: filterPrlimit,
		unix.SYS_SETPRIORITY: func(a *assembler) {
			a.arg(0)
			a.refuseIf(unix.PRIO_USER, unix.EPERM)
			a.arg(1)
			a.ownOnly()
		},
		unix.SYS_IOPRIO_SET: func(a *assembler) {
			a.arg(0)
			a.refuseIf(ioprioOfUser, unix.EPERM)
			a.arg(1)
			a.ownOnly()
		},
	}
	for _, nr := range []uint32{unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETATTR,
		unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES} {
		rules[nr] = func(a *assembler) { a.arg(0); a.ownOnly() }
	}
	a := assemble(rules)
	return a.code, a.own
}

// filterFcntl: a descriptor may send signals to its owner when it is ready.
// The owner may be any process of the UID, and the signal any.
func filterFcntl(a *assembler) {
	a.arg(1)
	a.refuseIf(unix.F_SETOWN_EX, unix.EPERM)
	a.inCase(unix.F_SETOWN, func(a *assembler) { a.arg(2); a.ownOnly() })
	a.inCase(unix.F_SETSIG, func(a *assembler) {
		a.arg(2)
		a.allowIf(0)
		a.allowIf(uint32(unix.SIGIO))
		a.when(unix.BPF_JGE, firstRTMin, 1, 0)
		a.refuse(unix.EPERM)
	})
}

func filterSocket(a *assembler) {
	a.arg(0)
	for _, family := range []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6} {
		a.allowIf(family)
	}
	a.inCase(unix.AF_NETLINK, func(a *assembler) { // getifaddrs(3)
		a.arg(2)
		a.allowIf(unix.NETLINK_ROUTE)
		a.refuse(unix.EAFNOSUPPORT)
	})
	a.refuse(unix.EAFNOSUPPORT)
}

// filterPrctl: a process that is not dumpable cannot be looked into, and the
// files it holds not be counted.
func filterPrctl(a *assembler) {
	a.arg(0)
	a.inCase(unix.PR_SET_DUMPABLE, func(a *assembler) { a.arg(1); a.refuseIf(0, unix.EPERM) })
}

// filterPrlimit lets limits be read.
func filterPrlimit(a *assembler) {
	a.argHigh(2)
	a.inCase(0, func(a *assembler) {
		a.arg(2)
		a.allowIf(0)
		a.arg(0)
		a.ownOnly()
	})
	a.arg(0)
	a.ownOnly()
}

// Offsets in struct seccomp_data, whose six arguments are 64 bits each; both
// architectures have the lower half first.
const (
	nrOffset   = 0
	archOffset = 4
	argsOffset = 16
)

// assembler writes classic BPF (bpf(4)). In a rule the accumulator does not hold
// the number of the call any more, so a rule ends in a result: inCase adds one.
type assembler struct {
	code []unix.SockFilter
	own  []int
}

// assemble makes a filter of rules by the number of the call.
func assemble(rules map[uint32]func(*assembler)) *assembler {
	a := &assembler{}
	a.load(archOffset)
	a.when(unix.BPF_JEQ, nativeArch, 1, 0)
	a.result(unix.SECCOMP_RET_KILL_PROCESS)
	a.load(nrOffset)
	a.when(unix.BPF_JGT, lastKnownCall, 0, 1) // x32 lies above, too
	a.refuse(unix.ENOSYS)
	a.tree(slices.Sorted(maps.Keys(rules)), rules)
	return a
}

// tree finds the call's number among these by halves.
func (a *assembler) tree(numbers []uint32, rules map[uint32]func(*assembler)) {
	if len(numbers) <= 2 {
		for _, nr := range numbers {
			a.inCase(nr, rules[nr])
		}
		a.result(unix.SECCOMP_RET_ALLOW)
		return
	}
	half := len(numbers) / 2
	a.when(unix.BPF_JGE, numbers[half], 0, 1)
	at := len(a.code)
	a.emit(unix.BPF_JMP|unix.BPF_JA, 0, 0, 0) // the jump of a comparison reaches 255 only
	a.tree(numbers[:half], rules)
	a.code[at].K = uint32(len(a.code) - at - 1)
	a.tree(numbers[half:], rules)
}

func (a *assembler) emit(code uint16, k uint32, yes, no uint8) {
	a.code = append(a.code, unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k})
}

func (a *assembler) load(offset uint32) { a.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }

// arg loads the lower half of an argument: all of an int.
func (a *assembler) arg(i uint32)     { a.load(argsOffset + 8*i) }
func (a *assembler) argHigh(i uint32) { a.load(argsOffset + 8*i + 4) }

func (a *assembler) result(value uint32) { a.emit(unix.BPF_RET|unix.BPF_K, value, 0, 0) }

func (a *assembler) refuse(errno unix.Errno) { a.result(unix.SECCOMP_RET_ERRNO | uint32(errno)) }

// when compares the accumulator and skips so many instructions on yes and no.
func (a *assembler) when(test uint16, k uint32, yes, no uint8) {
	a.emit(unix.BPF_JMP|unix.BPF_K|test, k, yes, no)
}

func (a *assembler) allowIf(k uint32) {
	a.when(unix.BPF_JEQ, k, 0, 1)
	a.result(unix.SECCOMP_RET_ALLOW)
}

func (a *assembler) refuseIf(k uint32, errno unix.Errno) {
	a.when(unix.BPF_JEQ, k, 0, 1)
	a.refuse(errno)
}

// ownOnly ends a block: allowed for 0, the caller, and the run's first process.
func (a *assembler) ownOnly() {
	a.allowIf(0)
	a.own = append(a.own, len(a.code))
	a.allowIf(0) // its pid, see fork.go
	a.refuse(unix.EPERM)
}

// refuseUnlessNull ends a block about a pointer.
func (a *assembler) refuseUnlessNull(arg uint32) {
	a.argHigh(arg)
	a.when(unix.BPF_JEQ, 0, 0, 2)
	a.arg(arg)
	a.when(unix.BPF_JEQ, 0, 1, 0)
	a.refuse(unix.EPERM)
}

// refuseFlags ends a block about the flags in the first argument.
func (a *assembler) refuseFlags(flags uint32) {
	a.arg(0)
	a.when(unix.BPF_JSET, flags, 0, 1)
	a.refuse(unix.EPERM)
}

// inCase runs the block only when the accumulator holds k.
func (a *assembler) inCase(k uint32, block func(*assembler)) {
	at := len(a.code)
	a.when(unix.BPF_JEQ, k, 0, 0)
	block(a)
	a.result(unix.SECCOMP_RET_ALLOW)
	a.code[at].Jf = uint8(len(a.code) - at - 1) // no rule is near 256 long
}
