// Package reap starts the runner's children, collects every dead process that
// becomes ours, and kills what a run leaves behind.
//
// # Process model
//
//	PID 1  soulbox-runner serve        this package; subreaper where it is not PID 1
//	  └─ soulbox-runner launch         subreaper of one run after the other (package launch)
//	       └─ the program              own session
//	            └─ …                   its children; orphans go to the launcher
//
// A process whose parent dies becomes the child of its nearest living ancestor
// that is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), or of PID 1
// (pid_namespaces(7)). So the launcher collects all of its run, and whatever
// outlives a killed launcher comes here. The kernel moves orphans while the
// parent exits, before that exit can be waited for: hence "wait4 says ECHILD"
// means "no process of ours is left", without a look into /proc.
//
// Only this package calls wait4 in `serve`, and os/exec is not used there: two
// waiters would steal each other's children. A pid is signalled only under the
// lock that also covers wait4, so it cannot have been given to another process
// meanwhile.
//
// Links: wait(2) https://man7.org/linux/man-pages/man2/wait.2.html,
// kill(2) https://man7.org/linux/man-pages/man2/kill.2.html,
// PR_SET_CHILD_SUBREAPER https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html
package reap

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
)

// Exit is how a child ended and what it and the descendants it had waited for
// consumed.
type Exit struct {
	Status syscall.WaitStatus
	Rusage syscall.Rusage
}

// Child is a process started by Start.
type Child struct {
	pid    int
	reaper *Reaper
	done   chan struct{}
	exit   Exit
}

// PID of the child; it may be gone already.
func (c *Child) PID() int { return c.pid }

// Done is closed once the child has been waited for.
func (c *Child) Done() <-chan struct{} { return c.done }

// Exit is valid after Done.
func (c *Child) Exit() Exit { return c.exit }

// Signal sends a signal unless the child has been waited for.
func (c *Child) Signal(sig syscall.Signal) {
	c.reaper.mu.Lock()
	defer c.reaper.mu.Unlock()
	if c.reaper.live[c.pid] == c {
		_ = syscall.Kill(c.pid, sig)
	}
}

// Reaper owns all children of the runner.
type Reaper struct {
	namespace *Namespace
	signals   chan os.Signal

	mu      sync.Mutex
	live    map[int]*Child
	orphans syscall.Rusage // of strays: processes we did not start ourselves
}

// New makes the calling process a subreaper and starts to listen for SIGCHLD.
// A nil namespace means that kill(-1) is never used.
func New(namespace *Namespace) (*Reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	r := &Reaper{namespace: namespace, signals: make(chan os.Signal, 1), live: map[int]*Child{}}
	signal.Notify(r.signals, unix.SIGCHLD)
	return r, nil
}

// Start collects dead children until the context ends.
func (r *Reaper) Start(ctx context.Context) error {
	for {
		r.mu.Lock()
		r.collect()
		r.mu.Unlock()
		select {
		case <-r.signals:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// collect waits for every dead child and reports how many there were, and
// whether any child is left. Call with the lock held.
func (r *Reaper) collect() (dead int, left bool) {
	for {
		var exit Exit
		pid, err := syscall.Wait4(-1, &exit.Status, syscall.WNOHANG, &exit.Rusage)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil: // ECHILD
			return dead, false
		case exit.Status.Stopped():
			continue // an orphan that asks to be traced, ptrace(2): it lives
		case pid == 0:
			return dead, true
		}
		dead++
		if child, ours := r.live[pid]; ours {
			delete(r.live, pid)
			child.exit = exit
			close(child.done)
		} else {
			addRusage(&r.orphans, &exit.Rusage)
		}
	}
}

// Spawn starts a program: argv[0] is the path. Files become its descriptors 0,
// 1, 2 and so on; it gets no other.
func (r *Reaper) Spawn(path string, argv, env []string, files []uintptr) (*Child, error) {
	r.mu.Lock() // no collect between the fork and the entry in the table
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env: env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, os.NewSyscallError("fork and exec "+argv[0], err)
	}
	child := &Child{pid: pid, reaper: r, done: make(chan struct{})}
	r.live[pid] = child
	return child, nil
}

// Sweep kills and collects every process that is neither a child started here
// nor below one: what a run left behind whose launcher was killed. When there
// is no such child at all it uses kill(-1), where that is proven safe. Nothing
// can be started meanwhile. It gives up after the limit and reports whether
// all are gone, and what the strays had consumed.
func (r *Reaper) Sweep(limit time.Duration) (gone bool, strays syscall.Rusage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		_, left := r.collect()
		if gone = r.killStrays(left); gone && left {
			// Who died since is in no list of the living, nor need what it left be:
			// /proc is read one process after the other.
			dead, _ := r.collect()
			gone = dead == 0
		}
		if gone || time.Now().After(deadline) {
			strays, r.orphans = r.orphans, syscall.Rusage{}
			return gone, strays
		}
		time.Sleep(pause)
	}
}

// killStrays sends SIGKILL to what Sweep is about and reports whether there
// was nothing to kill.
func (r *Reaper) killStrays(childrenLeft bool) bool {
	if len(r.live) == 0 && r.namespace != nil {
		// Processes entered from outside (kubectl exec) are not our
		// children, so ECHILD alone does not prove the namespace empty.
		others, err := othersInNamespace()
		if err == nil && !childrenLeft && others == 0 {
			return true
		}
		r.namespace.killAll()
		return false
	}
	if !childrenLeft {
		return true
	}
	if !proc.Usable() {
		return false
	}
	tree, err := proc.ReadTree()
	if err != nil {
		return false
	}
	isLive := func(pid int) bool { return r.live[pid] != nil }
	return KillEach(tree.Descendants(os.Getpid(), isLive)) == 0
}

// Alone tells whether we are PID 1 of a namespace of our own, as in a pod.
func (r *Reaper) Alone() bool { return r.namespace != nil }

// Strangers tells whether the namespace holds a process that we did not start:
// no child of ours, and not below one. It is false where kill(-1) is never used.
func (r *Reaper) Strangers() bool {
	if r.namespace == nil {
		return false
	}
	tree, err := proc.ReadTree()
	if err != nil {
		return false
	}
	delete(tree.Parent, os.Getpid())
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid := range r.live {
		delete(tree.Parent, pid)
		for _, below := range tree.Descendants(pid, nil) {
			delete(tree.Parent, below)
		}
	}
	return len(tree.Parent) > 0
}

// othersInNamespace counts who could be killed: not what an administrator
// entered as another user.
func othersInNamespace() (count int, err error) {
	tree, err := proc.ReadTree()
	if err != nil {
		return 0, err
	}
	delete(tree.Parent, os.Getpid())
	for pid := range tree.Parent {
		if !errors.Is(syscall.Kill(pid, 0), syscall.EPERM) {
			count++
		}
	}
	return count, nil
}

// KillEach ends processes one by one: all are stopped first, so that a fork
// bomb holds its places in RLIMIT_NPROC and cannot refill while it is killed.
// It returns how many it could signal.
func KillEach(pids []int) (signalled int) {
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		signalled = 0
		for _, pid := range pids {
			if pid > 1 && syscall.Kill(pid, sig) == nil {
				signalled++
			}
		}
	}
	return signalled
}

// addRusage adds CPU time and takes the larger peak.
func addRusage(sum, more *syscall.Rusage) {
	sum.Utime = syscall.NsecToTimeval(sum.Utime.Nano() + more.Utime.Nano())
	sum.Stime = syscall.NsecToTimeval(sum.Stime.Nano() + more.Stime.Nano())
	sum.Maxrss = max(sum.Maxrss, more.Maxrss)
}
