// Package launch is the part of the runner around one program: the launcher
// process, the exec stage that becomes the program, and the server's handle
// on both.
//
// # Process model
//
//	serve ──control (socket)── launch ── waits for its whole run
//	  │                          └─ exec ══execve══> program
//	  ├──spec (pipe)──────────────┘ read by exec: what to run
//	  ├──status (pipe)────────────┘ written by exec: "have it", then why execve failed
//	  └──stdin, stdout, stderr (pipes), the program's own
//
// Three processes and not one, because: the parent that waits must be small
// (ru_maxrss starts with the size of the image that execve replaced,
// getrusage(2)), must be a subreaper with no other children, and must not
// carry the program's RLIMIT_NPROC itself: that counts the threads of a UID,
// and a Go runtime that cannot make a thread dies. So the limits are set in a
// process that then becomes the program.
//
// The launcher knows nothing of the program, and the exec stage waits for its
// spec; both can therefore be started ahead of time, which takes the start of
// two Go processes (2 to 3 ms) out of every run.
//
// Nothing of this is within the program's reach: descriptors are
// close-on-exec, and both processes are not dumpable, so that their
// /proc/pid/fd and their memory belong to root (PR_SET_DUMPABLE(2const)).
package launch

import "syscall"

// Descriptors of the launcher and of the exec stage, beside 0, 1, 2.
const (
	launcherControl = 3
	launcherSpec    = 4
	launcherStatus  = 5
	execSpec        = 3
	execStatus      = 4
)

// The commands on the control socket, one byte each. End of file, which comes
// when the server died, means kill.
const (
	commandTerm = 't' // SIGTERM to every process of the run
	commandKill = 'k' // SIGKILL to every process of the run, then end
)

// ready is the byte on the status pipe once the exec stage has its spec. Then
// the pipe closes (execve succeeded) or brings the text of an error.
const ready = '\x01'

// Spec is what the exec stage turns itself into.
type Spec struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	// Hard limits; the exec stage lowers them to what it may have.
	Processes     uint64 `json:"processes"`
	OpenFiles     uint64 `json:"openFiles"`
	FileSizeBytes uint64 `json:"fileSizeBytes"`
	// Landlock confines signals to the run, and hides these directories.
	Landlock bool     `json:"landlock"`
	Hidden   []string `json:"hidden"`
}

// Event comes from the launcher: "exit" when the program itself ended, "done"
// when no process of the run is left.
type Event struct {
	Kind   string             `json:"kind"`
	Status syscall.WaitStatus `json:"status,omitempty"`
	Usage  *Usage             `json:"usage,omitempty"`
}

// The kinds of events.
const (
	EventExit = "exit"
	EventDone = "done"
)

// Usage sums all processes of the run. IO is nil where the kernel has none.
type Usage struct {
	CPUMicroseconds int64 `json:"cpuMicroseconds"`
	MaxRSSBytes     int64 `json:"maxRssBytes"`
	IO              *IO   `json:"io,omitempty"`
}

// IO is what the run read from and wrote to storage.
type IO struct {
	ReadBytes  int64 `json:"readBytes"`
	WriteBytes int64 `json:"writeBytes"`
}
