package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/reap"
)

// stageEnv is the environment of launchers: nothing of the runner's own, one
// thread at a time, for they do next to nothing, and a heap of 1 MiB at most
// between collections: what a launcher holds, its program's ru_maxrss begins
// with.
var stageEnv = []string{"GOMAXPROCS=1", "GOGC=25"}

// pipeBytes is the wish for the size of the output pipes: a burst then seldom
// waits for the reader. Denied beyond the user's share, see pipe(7).
const pipeBytes = 256 << 10

// startLimit bounds the time from the spec to execve. A guess: the longest
// sensible case is an interpreter on a disk that is very busy.
const startLimit = 60 * time.Second

// Launcher is the server's handle on one launcher process. It takes one run at
// a time; the streams are those of the run at hand.
type Launcher struct {
	Child  *reap.Child
	Stdin  *os.File // to be written, or closed at once
	Stdout *os.File
	Stderr *os.File

	control *os.File
	events  chan Event
	busy    atomic.Bool // from an order to run until the last event of the run
	killed  bool
}

// Spawn starts a launcher, which waits for Run.
func Spawn(reaper *reap.Reaper, seccomp bool) (*Launcher, error) {
	control, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		_ = control.Close()
		return nil, err
	}
	defer null.Close()
	argv := []string{"soulbox-runner", "launch"}
	if !seccomp {
		argv = append(argv, WithoutSeccomp)
	}
	// The launcher's own words, should it have any, go where the runner's go.
	files := []uintptr{null.Fd(), null.Fd(), 2, theirs.Fd()}
	child, err := reaper.Spawn("/proc/self/exe", argv, stageEnv, files)
	if err != nil {
		_ = control.Close()
		return nil, &StartError{Message: err.Error(), NoRoom: errors.Is(err, unix.EAGAIN)}
	}
	l := &Launcher{Child: child, control: control, events: make(chan Event, 8)}
	go l.readEvents()
	return l, nil
}

// readEvents ends with the launcher or with Close. The channel holds the
// events of a whole run: nobody needs to take those of one that is given up.
func (l *Launcher) readEvents() {
	defer close(l.events)
	decoder := json.NewDecoder(l.control)
	for {
		var e Event
		if decoder.Decode(&e) != nil {
			return
		}
		if e.Kind == EventDone || e.Kind == EventFailed {
			l.busy.Store(false)
		}
		l.events <- e
	}
}

func growPipe(f *os.File) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
	}
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // for the runtime's poller
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// ErrNotReady means that the launcher died before the program was begun. To
// try again with another launcher is safe.
var ErrNotReady = errors.New("the launcher died before the program was started")

// StartError tells why execve, or a step before it, failed. The launcher can
// take another run.
type StartError struct {
	Message string
	NoRoom  bool // the kernel had no room for it just then: other runs hold what it needs
}

func (e *StartError) Error() string { return e.Message }

// Run hands over the spec and returns when the program runs, or with an error:
// *StartError, ErrNotReady, or why no pipes could be made.
func (l *Launcher) Run(spec *Spec) error {
	raw, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode launch spec: %w", err)
	}
	theirs, err := l.openStreams()
	defer closeAll(theirs)
	if err != nil {
		return err
	}
	l.busy.Store(true)
	switch err := l.order(orderRun, raw, theirs, startLimit); {
	case errors.Is(err, unix.ETOOMANYREFS):
		// The kernel counts by UID the descriptors that are on their way through
		// sockets: another run has as many there as we may have open. Nothing was sent.
		l.busy.Store(false)
		return &StartError{Message: "too many descriptors are on their way through sockets", NoRoom: true}
	case err != nil:
		return ErrNotReady
	}
	timeout := time.NewTimer(startLimit)
	defer timeout.Stop()
	begun := false
	for {
		select {
		case e, open := <-l.events:
			switch {
			case !open && begun:
				return nil // killed meanwhile: nobody knows how far it came
			case !open:
				return ErrNotReady
			case e.Kind == EventBegun:
				begun = true
			case e.Kind == EventStarted:
				return nil
			case e.Kind == EventFailed:
				return &StartError{Message: strings.ToValidUTF8(e.Message, "?"), NoRoom: e.NoRoom}
			}
		case <-timeout.C:
			return &StartError{Message: fmt.Sprintf("%s did not start within %v", spec.Argv[0], startLimit)}
		}
	}
}

// openStreams makes the program's pipes and returns its ends of them.
func (l *Launcher) openStreams() (theirs []*os.File, err error) {
	for fd, ours := range []**os.File{&l.Stdin, &l.Stdout, &l.Stderr} {
		reader, writer, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		if fd == 0 {
			*ours = writer
			theirs = append(theirs, reader)
			continue
		}
		*ours = reader
		theirs = append(theirs, writer)
		growPipe(reader)
	}
	for _, f := range theirs {
		_ = unix.SetNonblock(int(f.Fd()), false) // a program expects blocking streams
	}
	return theirs, nil
}

// order sends one; descriptors go along with its first byte.
func (l *Launcher) order(what byte, content []byte, files []*os.File, limit time.Duration) error {
	// A program may have stopped its launcher: they share a UID.
	l.Child.Signal(syscall.SIGCONT)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, 0, len(files))
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		rights = unix.UnixRights(fds...)
	}
	_ = l.control.SetWriteDeadline(time.Now().Add(limit))
	conn, err := l.control.SyscallConn()
	if err != nil {
		return err
	}
	header := orderHeader(what, len(content))
	var sendErr error
	err = conn.Write(func(fd uintptr) bool {
		for {
			sendErr = unix.Sendmsg(int(fd), header, rights, nil, unix.MSG_NOSIGNAL)
			if sendErr != unix.EINTR {
				return sendErr != unix.EAGAIN
			}
		}
	})
	if err = errors.Join(err, sendErr); err != nil || len(content) == 0 {
		return err
	}
	_, err = l.control.Write(content)
	return err
}

// Events gives what the launcher tells of the run, and is closed when it
// closed its side.
func (l *Launcher) Events() <-chan Event { return l.events }

// Terminate asks for SIGTERM to the whole run.
func (l *Launcher) Terminate() { l.command(orderTerm) }

// End asks for SIGKILL to what the program left behind when it ended.
func (l *Launcher) End() { l.command(orderEnd) }

// Kill asks for SIGKILL to the whole run and the end of the launcher.
func (l *Launcher) Kill() {
	l.killed = true
	l.command(orderKill)
}

// KillNow kills the launcher itself, when it does not obey. What it leaves is
// for Reaper.Sweep.
func (l *Launcher) KillNow() {
	l.killed = true
	l.Child.Signal(syscall.SIGKILL)
}

func (l *Launcher) command(what byte) {
	_ = l.order(what, nil, nil, 100*time.Millisecond) // EPIPE: it is gone, which is what was wanted
}

// Rest closes the streams of the run that is over and reports whether the
// launcher can take another.
func (l *Launcher) Rest() bool {
	closeAll([]*os.File{l.Stdin, l.Stdout, l.Stderr})
	l.Stdin, l.Stdout, l.Stderr = nil, nil, nil
	return !l.killed && !l.busy.Load()
}

// Close gives back every descriptor. A launcher still alive takes the closed
// control socket as the order to kill.
func (l *Launcher) Close() {
	closeAll([]*os.File{l.Stdin, l.Stdout, l.Stderr, l.control})
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // a second Close only returns an error
		}
	}
}
