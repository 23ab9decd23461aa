package launch

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/reap"
)

// launcher is the state of `soulbox-runner launch`. One goroutine owns it.
type launcher struct {
	events  *json.Encoder
	io      *proc.IOFile
	before  proc.IO
	program int // pid of the exec stage, later the program
	ended   bool
	killing bool
	usage   Usage
}

// LauncherMain is `soulbox-runner launch`: start the exec stage, wait for
// every process of the run, kill the rest when the program itself ends, tell
// the server. It returns the exit code of the process.
func LauncherMain() int {
	// Every signal gets a handler that does nothing: the program has our UID
	// and may send any. Handlers, unlike "ignore", do not survive execve.
	children := make(chan os.Signal, 1)
	signal.Notify(make(chan os.Signal, 1))
	signal.Notify(children, unix.SIGCHLD)

	l := &launcher{io: proc.OpenSelfIO()}
	if err := l.start(); err != nil {
		fmt.Fprintln(os.Stderr, "soulbox-runner launch:", err)
		return 1
	}
	l.events = json.NewEncoder(os.NewFile(launcherControl, "control"))
	l.loop(children, readCommands())
	return 0
}

func (l *launcher) start() error {
	for fd := launcherControl; fd <= launcherStatus; fd++ {
		unix.CloseOnExec(fd)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_DUMPABLE", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"soulbox-runner", "exec"}, &syscall.ProcAttr{
		Env:   stageEnv,
		Files: []uintptr{0, 1, 2, launcherSpec, launcherStatus},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return os.NewSyscallError("fork and exec", err)
	}
	l.program = pid
	l.before, _ = l.io.Read()
	return dropStreams()
}

// dropStreams gives up the program's own streams: the server sees end of file
// when the program's last process is gone, not when the launcher is.
func dropStreams() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open /dev/null", err)
	}
	for fd := 0; fd <= 2; fd++ {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	_ = unix.Close(null)
	_ = unix.Close(launcherSpec)
	return unix.Close(launcherStatus)
}

func readCommands() <-chan byte {
	commands := make(chan byte)
	go func() {
		defer close(commands)
		buf := make([]byte, 1)
		for {
			n, err := unix.Read(launcherControl, buf)
			switch {
			case err == unix.EINTR:
			case n == 1:
				commands <- buf[0]
			default:
				return // the server is gone
			}
		}
	}()
	return commands
}

func (l *launcher) loop(children <-chan os.Signal, commands <-chan byte) {
	var again <-chan time.Time
	pause := time.Millisecond
	for {
		if left := l.collect(); !left {
			l.finish()
			return
		}
		if l.killing || l.ended {
			// Repeated until wait4 finds no child: a process that forks
			// while it is looked for is found the next time.
			reap.KillEach(descendants())
			again = time.After(pause)
			pause = min(2*pause, 50*time.Millisecond)
		}
		select {
		case <-children:
		case <-again:
		case command, open := <-commands:
			switch {
			case !open:
				l.killing, commands = true, nil
			case command == commandKill:
				l.killing = true
			case command == commandTerm:
				for _, pid := range descendants() {
					_ = syscall.Kill(pid, syscall.SIGTERM)
				}
			}
		}
	}
}

// descendants is empty where /proc is not ours: then only the program's own
// session could be reached, and PID 1 sweeps the rest.
func descendants() []int {
	if !proc.Usable() {
		return nil
	}
	tree, err := proc.ReadTree()
	if err != nil {
		return nil
	}
	return tree.Descendants(os.Getpid(), nil)
}

// collect waits for all dead children and reports whether any child is left.
func (l *launcher) collect() (left bool) {
	for {
		var status syscall.WaitStatus
		var rusage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &rusage)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return false // ECHILD: nobody is left
		case pid == 0:
			return true
		}
		l.usage.add(&rusage)
		if pid == l.program {
			l.ended = true
			_ = l.events.Encode(Event{Kind: EventExit, Status: status})
		}
	}
}

func (l *launcher) finish() {
	if after, ok := l.io.Read(); ok {
		l.usage.IO = &IO{
			ReadBytes:  after.ReadBytes - l.before.ReadBytes,
			WriteBytes: max(after.WriteBytes-l.before.WriteBytes, 0),
		}
	}
	_ = l.events.Encode(Event{Kind: EventDone, Usage: &l.usage})
}

// add counts a process that was waited for, with those it had waited for.
func (u *Usage) add(r *syscall.Rusage) {
	u.CPUMicroseconds += (r.Utime.Nano() + r.Stime.Nano()) / 1000
	u.MaxRSSBytes = max(u.MaxRSSBytes, r.Maxrss*1024)
}

// UsageOf is the usage of one process that was waited for.
func UsageOf(r *syscall.Rusage) (u Usage) {
	u.add(r)
	return u
}
