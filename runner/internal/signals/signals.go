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
// Not so the faults (SEGV and the like) that are queued with siginfo, sigqueue(3):
// Go takes those for its own. They get a handler of ours before Go's.
//
// TERM and INT mean "drain", and a program must not be able to say so. Their
// sender is only in siginfo, which os/signal does not pass on; and signalfd(2)
// is no way out, for Go never lets a thread block them (runtime,
// blockableSig). So the two get a handler of our own: a few instructions that
// write siginfo to a pipe (handler_*.s).
//
// A sender outside the namespace, such as the kubelet's container runtime, has
// pid 0 there (kernel/signal.c, __send_signal_locked). A program cannot forge
// that: rt_sigqueueinfo(2) refuses a code of SI_USER or above.
//
// Links: https://man7.org/linux/man-pages/man7/pid_namespaces.7.html,
// https://man7.org/linux/man-pages/man2/rt_sigqueueinfo.2.html
package signals

import (
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Survived is every signal a program can send that would otherwise end, stop
// or dump a Go process, beside TERM and INT. SIGCHLD belongs to package reap;
// SIGURG is Go's own.
var Survived = []os.Signal{
	unix.SIGHUP, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE,
	unix.SIGSEGV, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGSTKFLT,
	unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM,
	unix.SIGPROF, unix.SIGIO, unix.SIGPWR, unix.SIGSYS,
}

// Stops are the requests to stop that came.
type Stops struct{ next func() (stop, error) }

// stop is one TERM or INT. Outside is true when its sender is not in our PID
// namespace, or cannot be told.
type stop struct {
	name    string
	pid     int
	outside bool
}

// Register is the first call of main.
func Register() (*Stops, error) {
	signal.Notify(make(chan os.Signal, 1), Survived...)
	if err := passOnFaults(); err != nil {
		return nil, err
	}
	next, err := takeStops()
	return &Stops{next: next}, err
}

// Start calls drain for each request to stop. InNamespace says that we are
// PID 1 of a PID namespace: then those from inside it are ignored.
func (s *Stops) Start(inNamespace bool, log *slog.Logger, drain func(reason string)) error {
	for {
		request, err := s.next()
		if err != nil {
			return err
		}
		if inNamespace && !request.outside {
			log.Warn("signal from inside the sandbox ignored", "signal", request.name, "pid", request.pid)
			continue
		}
		drain(request.name)
	}
}
