package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/reap"
)

// mostMemoryFirst is the oom_score_adj of programs: when the pod is out of
// memory, the kernel takes one of them and not the runner, even when each is
// smaller than the runner. Raising it needs no privilege, nor does taking the
// old one back (proc_pid_oom_score_adj(5)).
const mostMemoryFirst = "1000"

// launcher is the state of `soulbox-runner launch`. One goroutine owns it.
type launcher struct {
	events   *json.Encoder
	io       *proc.IOFile
	limits   ownLimits
	oomScore *os.File // its own; nil where there is none
	ownScore []byte
	fences   []int
	fencesOf []string // the hidden directories that fences are for
	filter   filter

	// Of the run at hand.
	program int                 // its pid
	ending  bool                // what the program left is to be killed
	status  *syscall.WaitStatus // of the program, until it is told
	before  proc.IO
	killing bool
	usage   Usage
}

// LauncherMain is `soulbox-runner launch`: start a program when told to, wait
// for every process of its run, tell the server when the program itself ends,
// kill the rest when told to, and wait for the next. It returns the exit code of the
// process.
func LauncherMain(args []string) int {
	// Every signal gets a handler that does nothing: the program has our UID
	// and may send any. Handlers, unlike "ignore", do not survive execve.
	children := make(chan os.Signal, 1)
	signal.Notify(make(chan os.Signal, 1))
	signal.Notify(children, unix.SIGCHLD)

	l := &launcher{io: proc.OpenSelfIO(), limits: readOwnLimits()}
	l.openScore()
	proc.ThreadsAhead(threadsAhead)
	err := l.close()
	if err == nil && !slices.Contains(args, WithoutSeccomp) {
		err = l.filterCalls()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soulbox-runner launch:", err)
		return 1
	}
	l.events = json.NewEncoder(os.NewFile(launcherControl, "control"))
	orders := readOrders()
	for o := range orders {
		switch o.what {
		case orderRun:
			if l.limits != readOwnLimits() {
				return 1 // before the program has begun: another launcher takes it
			}
			if !l.run(o, children, orders) {
				return 0
			}
		case orderKill:
			return 0
		}
	}
	return 0
}

// openScore opens the files that PR_SET_DUMPABLE 0 gives to root: an open one
// stays usable.
func (l *launcher) openScore() {
	file, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return
	}
	own := make([]byte, 16)
	if n, _ := file.ReadAt(own, 0); n > 0 {
		l.oomScore, l.ownScore = file, own[:n]
	}
}

// close shuts the launcher against the programs to come.
func (l *launcher) close() error {
	if err := inheritNothing(unix.CloseRange, "/proc/self/fd"); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_DUMPABLE", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	return nil
}

// threadsAhead: a launcher has two that wait, one that works and the runtime's.
const threadsAhead = 3

// WithoutSeccomp is the launcher's argument that leaves the filters out.
const WithoutSeccomp = "--seccomp=false"

// ownLimits are the resource limits and the processors of the launcher, which
// programs inherit: one that was changed, by a program of its UID, would
// change them for all later runs.
type ownLimits struct {
	limits     [unix.RLIMIT_RTTIME + 1]unix.Rlimit
	processors unix.CPUSet
	differ     bool // the processors of its threads, any of which may fork
}

func readOwnLimits() (own ownLimits) {
	for resource := range own.limits {
		_ = unix.Getrlimit(resource, &own.limits[resource])
	}
	_ = unix.SchedGetaffinity(os.Getpid(), &own.processors)
	for _, thread := range proc.ThreadIDs() {
		var processors unix.CPUSet
		if unix.SchedGetaffinity(thread, &processors) == nil && processors != own.processors {
			own.differ = true
		}
	}
	return own
}

// filterCalls puts the large filter on every thread of the launcher: what it
// forks has it too. Nothing that a launcher does is refused by it.
func (l *launcher) filterCalls() error {
	code := makeFilter()
	if len(code) == 0 {
		return nil
	}
	l.filter = newFilter()
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	runtime.LockOSThread() // both calls from one thread; TSYNC brings the others along
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	return nil
}

func readOrders() <-chan order {
	orders := make(chan order)
	go func() {
		defer close(orders)
		for {
			o, err := readOrder(launcherControl)
			if err != nil {
				return // the server is gone
			}
			orders <- o
		}
	}()
	return orders
}

// run takes one program from its start to the end of the last process of its
// run, and reports whether the launcher may take another.
func (l *launcher) run(o order, children <-chan os.Signal, orders <-chan order) bool {
	l.program, l.ending, l.status, l.killing, l.usage = 0, false, nil, false, Usage{}
	_ = l.events.Encode(Event{Kind: EventBegun})
	err := l.start(o)
	for _, fd := range o.streams { // the server sees their end with the program's last process
		_ = unix.Close(fd)
	}
	if err != nil {
		l.follow(children, orders) // the child that could not become the program
		_ = l.events.Encode(Event{Kind: EventFailed, Message: err.Error(), NoRoom: errors.Is(err, unix.EAGAIN)})
		return !l.killing
	}
	_ = l.events.Encode(Event{Kind: EventStarted})
	l.follow(children, orders)
	l.finish()
	return !l.killing
}

func (l *launcher) start(o order) error {
	var spec Spec
	if err := json.Unmarshal(o.spec, &spec); err != nil {
		return fmt.Errorf("the launch spec cannot be read: %w", err)
	}
	if len(o.streams) != 3 || len(spec.Argv) == 0 {
		return errors.New("the launch spec is not whole")
	}
	if !spec.Landlock {
		l.dropFences()
	} else if l.fencesOf == nil || !slices.Equal(l.fencesOf, spec.Hidden) {
		l.dropFences()
		l.fences, l.fencesOf = makeFences(spec.Hidden), append([]string{}, spec.Hidden...)
	}
	program, err := newProgram(&spec, [3]int(o.streams), l.fences, l.filter)
	if err != nil {
		return err
	}
	l.before, _ = l.io.Read()
	l.setScore([]byte(mostMemoryFirst)) // the child has it from its first moment
	l.program, err = program.start()
	l.setScore(l.ownScore)
	return err
}

func (l *launcher) dropFences() {
	for _, fence := range l.fences {
		_ = unix.Close(fence)
	}
	l.fences, l.fencesOf = nil, nil
}

func (l *launcher) setScore(score []byte) {
	if l.oomScore != nil {
		_, _ = l.oomScore.WriteAt(score, 0)
	}
}

// follow returns when no process of the run is left.
func (l *launcher) follow(children <-chan os.Signal, orders <-chan order) {
	var again <-chan time.Time
	pause := time.Millisecond
	for l.collect() {
		if l.killing || l.ending {
			// Repeated until wait4 finds no child: a process that forks
			// while it is looked for is found the next time.
			reap.KillEach(descendants())
			again = time.After(pause)
			pause = min(2*pause, 50*time.Millisecond)
		}
		select {
		case <-children:
		case <-again:
		case o, open := <-orders:
			switch {
			case !open:
				l.killing, orders = true, nil
			case o.what == orderKill:
				l.killing = true
			case o.what == orderEnd:
				l.ending = true
			case o.what == orderTerm:
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
		case status.Stopped():
			continue // a child that made us its tracer, ptrace(2): it lives, and waits for itself
		case pid == 0:
			if l.status != nil { // others are left: the end of the program is news of its own
				_ = l.events.Encode(Event{Kind: EventExit, Status: l.status})
				l.status = nil
			}
			return true
		}
		l.usage.add(&rusage)
		if pid == l.program {
			l.status = &status
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
	_ = l.events.Encode(Event{Kind: EventDone, Status: l.status, Usage: &l.usage})
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
