package reap

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
)

// initialPIDNamespace is what /proc/self/ns/pid points to on the machine
// itself: the kernel gives its first PID namespace the fixed inode
// PROC_PID_INIT_INO, 0xEFFFFFFC (include/linux/proc_ns.h). Every container
// has another number.
const initialPIDNamespace = "pid:[4026531836]"

// Namespace is the proof that kill(-1) reaches the sandbox and nothing else.
// kill(2) with pid -1 signals every process of the caller's PID namespace
// that the caller may signal; run as an ordinary process, as root, it would
// end the whole machine. So the one function that calls it hangs on this
// type, whose only constructor demands all of:
//
//   - we are PID 1, so the namespace lives and dies with us;
//   - /proc shows that same namespace;
//   - the namespace is not the machine's own (PID 1 there is its init);
//   - reading any of this failed in no way.
//
// Where one fails, as in every test that starts the runner as an ordinary
// process, there is no Namespace and only descendants are killed, one by one.
type Namespace struct {
	kill func(pid int, sig unix.Signal) error // kill(2); another in tests
}

// DetectNamespace returns nil when kill(-1) would not be safe.
func DetectNamespace() *Namespace {
	if os.Getpid() != 1 || !proc.Usable() {
		return nil
	}
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil || link == "" || link == initialPIDNamespace {
		return nil
	}
	return &Namespace{kill: unix.Kill}
}

// killAll sends SIGKILL to every other process of the namespace. That we are
// PID 1 is asked once more right before: it costs a microsecond.
func (n *Namespace) killAll() {
	if n == nil || n.kill == nil || os.Getpid() != 1 {
		return
	}
	_ = n.kill(-1, unix.SIGKILL) // ESRCH: nobody is left
}
