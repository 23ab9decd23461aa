package launch

import (
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// # Why a fork of our own
//
// What a program needs before its execve (limits, Landlock, no_new_privs)
// cannot be asked of syscall.ForkExec. A process in between that sets it and
// then becomes the program costs the start of another Go runtime, which is
// more CPU than all the rest of a short run, and was charged to the program.
// So the child does it itself, as syscall.forkAndExecInChild does its work:
// with raw system calls only, on memory made before the fork. The rules there
// hold here: no allocation, no lock, no stack growth, no race detector.
// gVisor forks this way too (pkg/sentry/platform/systrap), and the runtime
// keeps these three functions open for it (golang.org/issue/67401).
//
// The child is a copy (no CLONE_VM), so that it may write to its memory, and
// because a launcher is small that copy is cheap.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// program is one that is about to be started. Slices of pointers end with nil.
type program struct {
	name    string
	path    *byte
	argv    []*byte
	env     []*byte
	dir     *byte
	streams [3]uintptr // its 0, 1 and 2; all above 2
	limits  [len(limited)]unix.Rlimit
	fences  []int // Landlock rulesets: the first that the kernel takes counts
	filter  filter
	status  uintptr
	failed  failure
}

// filter is a program's own seccomp filter, and where in it its pid belongs.
type filter struct {
	header unix.SockFprog // without code there is no filter
	code   []unix.SockFilter
	own    []int
}

func newFilter() (f filter) {
	f.code, f.own = makeOwnFilter()
	if len(f.code) > 0 {
		f.header = unix.SockFprog{Len: uint16(len(f.code)), Filter: &f.code[0]}
	}
	return f
}

// limited names the limits in the order of program.limits.
var limited = [...]struct {
	name     string
	resource int
}{
	{"RLIMIT_CORE", unix.RLIMIT_CORE},
	{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE},
	{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE},
	{"RLIMIT_NPROC", unix.RLIMIT_NPROC},
}

// The steps of the child that may fail; the limits are one each.
const (
	stepSetsid uint32 = iota
	stepStreams
	stepChdir
	stepPrivileges
	stepFilter
	stepExecve
	stepLimit
)

var stepNames = [...]string{
	stepSetsid: "setsid", stepStreams: "dup3", stepPrivileges: "prctl PR_SET_NO_NEW_PRIVS",
	stepFilter: "seccomp",
}

// failure is what the child writes to the status pipe when it cannot go on.
type failure struct{ step, errno uint32 }

func readFailure(fd int) (failed failure, err error) {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&failed)), unsafe.Sizeof(failed))
	for {
		n, err := unix.Read(fd, raw) // a write this small arrives whole
		switch {
		case err == unix.EINTR:
		case err != nil || n < len(raw):
			return failed, io.EOF
		default:
			return failed, nil
		}
	}
}

func (p *program) fork() (pid int, err error) {
	syscall.ForkLock.Lock() // no descriptor is made now that is not close-on-exec yet
	id, errno := p.forkAndExec()
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	return int(id), nil
}

//go:noinline
//go:norace
//go:nocheckptr
func (p *program) forkAndExec() (pid uintptr, errno syscall.Errno) {
	var step uint32
	beforeFork()
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}

	// The child. Signals are as a new program expects them.
	afterForkInChild()
	step = stepSetsid
	if _, _, errno = syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0); errno != 0 {
		goto failed
	}
	step = stepStreams
	for fd, stream := range p.streams {
		if _, _, errno = syscall.RawSyscall(unix.SYS_DUP3, stream, uintptr(fd), 0); errno != 0 {
			goto failed
		}
	}
	step = stepChdir
	if _, _, errno = syscall.RawSyscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(p.dir)), 0, 0); errno != 0 {
		goto failed
	}
	step = stepPrivileges
	if _, _, errno = syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		goto failed
	}
	for _, fence := range p.fences { // best effort: what the kernel cannot do is left out
		if _, _, errno = syscall.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(fence), 0, 0); errno == 0 {
			break
		}
	}
	for i := range p.limits {
		step = stepLimit + uint32(i)
		if _, _, errno = syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, uintptr(limited[i].resource),
			uintptr(unsafe.Pointer(&p.limits[i])), 0, 0, 0); errno != 0 {
			goto failed
		}
	}
	_, _, _ = syscall.RawSyscall(unix.SYS_UMASK, 0o022, 0, 0)
	// Nothing but 0, 1 and 2 is inherited. The launcher has seen to that (see
	// inheritNothing); this is for what a library opened since, where the
	// kernel can.
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE_RANGE, firstPrivate, lastPrivate, unix.CLOSE_RANGE_CLOEXEC)
	if p.filter.header.Len > 0 {
		step = stepFilter
		pid, _, _ = syscall.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
		for _, at := range p.filter.own { // in this copy of the launcher's memory
			p.filter.code[at].K = uint32(pid)
		}
		if _, _, errno = syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0,
			uintptr(unsafe.Pointer(&p.filter.header))); errno != 0 {
			goto failed
		}
	}
	step = stepExecve
	_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(p.path)),
		uintptr(unsafe.Pointer(&p.argv[0])), uintptr(unsafe.Pointer(&p.env[0])))

failed:
	p.failed = failure{step, uint32(errno)}
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, p.status, uintptr(unsafe.Pointer(&p.failed)), unsafe.Sizeof(p.failed))
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT_GROUP, 127, 0, 0)
	}
}
