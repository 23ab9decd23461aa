// Package signals makes the runner survive what its children send it, and
// tells a request to stop that comes from the kubelet from one that comes from
// a program in the sandbox.
//
// The kernel protects PID 1 of a namespace from signals of its own children
// only where it has no handler (pid_namespaces(7)). A Go program has one for
// every signal from its first instruction on, and its default is to die:
// measured for TERM, INT, HUP, QUIT, ABRT, SEGV, BUS and FPE. So each is asked
// for, which makes Go deliver instead of die.
//
// TERM and INT mean "drain", and a program must not be able to say so. Their
// sender is only in siginfo, which Go does not show; signalfd(2) does, for
// signals that are blocked. Go cannot block a signal in all its threads, but
// every thread starts with the mask of the process at its start
// (runtime.initSigmask). So the runner blocks the two and executes itself
// again, once. A sender outside the namespace, such as the kubelet, has
// pid 0 in siginfo (kernel/signal.c, has_si_pid_and_uid).
//
// Links: https://man7.org/linux/man-pages/man7/pid_namespaces.7.html,
// https://man7.org/linux/man-pages/man2/signalfd.2.html
package signals

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Survived is every signal a program can send that would otherwise end, stop
// or dump a Go process. SIGCHLD belongs to package reap; SIGURG is Go's own.
var Survived = []os.Signal{
	unix.SIGHUP, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE,
	unix.SIGSEGV, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGSTKFLT,
	unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM,
	unix.SIGPROF, unix.SIGIO, unix.SIGPWR, unix.SIGSYS,
}

// again in the environment says that the program was executed again already.
const again = "SOULBOX_RUNNER_SIGNALS_BLOCKED"

func drainSet() (set unix.Sigset_t) {
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		set.Val[(s-1)/64] |= 1 << ((s - 1) % 64)
	}
	return set
}

// Register is the first call of main. It returns once all signals are taken
// care of; the first time it does not return but executes the program again
// with TERM and INT blocked.
func Register() {
	signal.Notify(make(chan os.Signal, 1), Survived...)
	runtime.LockOSThread() // a mask is a thread's, and execve keeps the calling thread's
	defer runtime.UnlockOSThread()
	var mask unix.Sigset_t
	want := drainSet()
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, nil, &mask)
	if mask.Val[0]&want.Val[0] == want.Val[0] {
		return
	}
	if os.Getenv(again) != "" {
		return // tried, in vain
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &want, nil); err == nil {
		_ = syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), again+"=1"))
	}
	// Then they end the process: a pod that cannot drain, but can stop.
}

// Drain calls stop for each TERM or INT that does not come from inside the
// sandbox. InNamespace says that we are PID 1 of a PID namespace.
func Drain(ctx context.Context, inNamespace bool, log *slog.Logger, stop func(reason string)) error {
	set := drainSet()
	fd, err := unix.Signalfd(-1, &set, unix.SFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("signalfd", err)
	}
	file := os.NewFile(uintptr(fd), "signalfd")
	defer file.Close()
	for ctx.Err() == nil {
		var info unix.SignalfdSiginfo
		buf := unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info))
		if _, err := file.Read(buf); err != nil {
			return err
		}
		name := unix.SignalName(syscall.Signal(info.Signo))
		if inNamespace && info.Pid != 0 {
			log.Warn("signal from inside the sandbox ignored", "signal", name, "pid", info.Pid)
			continue
		}
		stop(name)
	}
	return ctx.Err()
}
