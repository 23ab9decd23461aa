package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/reap"
)

// stageEnv is the environment of launcher and exec stage: nothing of the
// runner's own, and one thread at a time, for they do next to nothing.
var stageEnv = []string{"GOMAXPROCS=1", "GOGC=off"}

// pipeBytes is the wish for the size of the output pipes: a burst then seldom
// waits for the reader. Denied beyond the user's share, see pipe(7).
const pipeBytes = 256 << 10

// startLimit bounds the time from the spec to execve. A guess: the longest
// sensible case is an interpreter on a disk that is very busy.
const startLimit = 60 * time.Second

// Launcher is the server's handle on one launcher process.
type Launcher struct {
	Child  *reap.Child
	Stdin  *os.File // to be written, or closed at once
	Stdout *os.File
	Stderr *os.File

	control *os.File
	spec    *os.File
	status  *os.File
}

// Spawn starts a launcher and its exec stage, which waits for Run.
func Spawn(reaper *reap.Reaper) (_ *Launcher, err error) {
	l := &Launcher{}
	var theirs []*os.File
	defer func() {
		closeAll(theirs)
		if err != nil {
			l.Close()
		}
	}()
	var stdin, stdout, stderr, control, spec, status *os.File
	for _, pipe := range []struct {
		reader, writer **os.File
		theirs         **os.File
	}{
		{&stdin, &l.Stdin, &stdin}, {&l.Stdout, &stdout, &stdout}, {&l.Stderr, &stderr, &stderr},
		{&spec, &l.spec, &spec}, {&l.status, &status, &status},
	} {
		if *pipe.reader, *pipe.writer, err = os.Pipe(); err != nil {
			return nil, err
		}
		theirs = append(theirs, *pipe.theirs)
	}
	if l.control, control, err = socketPair(); err != nil {
		return nil, err
	}
	theirs = append(theirs, control)
	for _, out := range []*os.File{l.Stdout, l.Stderr} {
		growPipe(out)
	}
	files := make([]uintptr, 0, 6)
	for _, f := range []*os.File{stdin, stdout, stderr, control, spec, status} {
		fd := f.Fd()
		_ = unix.SetNonblock(int(fd), false) // a program expects blocking streams
		files = append(files, fd)
	}
	l.Child, err = reaper.Spawn("/proc/self/exe", []string{"soulbox-runner", "launch"}, stageEnv, files)
	return l, err
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

// ErrNotReady means that launcher or exec stage died before the program was
// begun. To try again with another launcher is safe.
var ErrNotReady = errors.New("the launcher died before the program was started")

// StartError tells why execve, or a step before it, failed.
type StartError struct{ Message string }

func (e *StartError) Error() string { return e.Message }

// Run hands over the spec and returns when the program runs, or with a
// *StartError or ErrNotReady.
func (l *Launcher) Run(spec *Spec) error {
	raw, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode launch spec: %w", err)
	}
	deadline := time.Now().Add(startLimit)
	_ = l.spec.SetWriteDeadline(deadline)
	_ = l.status.SetReadDeadline(deadline)
	_, err = l.spec.Write(raw)
	_ = l.spec.Close()
	if err != nil {
		return ErrNotReady
	}
	text, err := io.ReadAll(l.status)
	_ = l.status.Close()
	if len(text) == 0 || text[0] != ready {
		return ErrNotReady
	}
	if err != nil {
		return &StartError{Message: fmt.Sprintf("%s did not start within %v", spec.Argv[0], startLimit)}
	}
	if len(text) > 1 {
		return &StartError{Message: strings.ToValidUTF8(string(text[1:]), "?")}
	}
	return nil
}

// Events gives what the launcher tells, and ends when it closed its side. The
// goroutine that reads ends with the launcher or with Close.
func (l *Launcher) Events() <-chan Event {
	events := make(chan Event, 4)
	go func() {
		defer close(events)
		decoder := json.NewDecoder(l.control)
		for {
			var e Event
			if decoder.Decode(&e) != nil {
				return
			}
			events <- e
		}
	}()
	return events
}

// Terminate asks for SIGTERM to the whole run.
func (l *Launcher) Terminate() { l.command(commandTerm) }

// Kill asks for SIGKILL to the whole run and the end of the launcher.
func (l *Launcher) Kill() { l.command(commandKill) }

// KillNow kills the launcher itself, when it does not obey. What it leaves is
// for Reaper.Sweep.
func (l *Launcher) KillNow() { l.Child.Signal(syscall.SIGKILL) }

func (l *Launcher) command(c byte) {
	// The program may have stopped its launcher: they share a UID.
	l.Child.Signal(syscall.SIGCONT)
	_ = l.control.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = l.control.Write([]byte{c}) // EPIPE: it is gone, which is what was wanted
}

// Close gives back every descriptor. A launcher still alive takes the closed
// control socket as the order to kill.
func (l *Launcher) Close() {
	closeAll([]*os.File{l.Stdin, l.Stdout, l.Stderr, l.control, l.spec, l.status})
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // a second Close only returns an error
		}
	}
}
