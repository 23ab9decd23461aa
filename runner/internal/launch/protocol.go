// Package launch is the part of the runner around one program: the launcher
// process that starts it and waits for all of its run, and the server's handle
// on that process.
//
// # Process model
//
//	serve ──control (socket)── launch ── waits for its whole run
//	  │                          └─ fork ══execve══> program
//	  └──stdin, stdout, stderr (pipes), the program's own
//
// A launcher takes one run after the other: once the kernel says that it has
// no child (any more), it is as good as new. It is a process of its own,
// because: the parent that waits must be small (ru_maxrss starts with the size
// of the image that execve replaced, getrusage(2)), must be a subreaper with
// no other children, and must not carry the program's RLIMIT_NPROC itself:
// that counts the threads of a UID, and a Go runtime that cannot make a thread
// dies. So the limits are set between fork and execve; see fork.go.
//
// Starting a Go process takes 2 to 3 ms of CPU, more than the rest of what the
// runner does for a short run (measured). So a launcher is started ahead of
// time, and kept.
//
// Nothing of this is within the program's reach: descriptors are
// close-on-exec, and the launcher is not dumpable, so that its /proc/pid/fd
// and its memory belong to root (PR_SET_DUMPABLE(2const)), those of its child
// until execve too.
package launch

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// launcherControl is the launcher's descriptor beside 0, 1 and 2.
const launcherControl = 3

// An order on the control socket is one byte for what, four for the length of
// what follows. End of file, which comes when the server died, means kill.
const (
	orderRun  = 'r' // start the program of the spec that follows; three descriptors come along
	orderTerm = 't' // SIGTERM to every process of the run
	orderEnd  = 'e' // SIGKILL to what the program left; the launcher stays
	orderKill = 'k' // SIGKILL to every process of the run, then end
)

const orderBytes = 5

func orderHeader(what byte, length int) []byte {
	return binary.BigEndian.AppendUint32([]byte{what}, uint32(length))
}

// order is one that was read.
type order struct {
	what    byte
	spec    []byte
	streams []int // the program's 0, 1 and 2
}

// readOrder waits for the next order; an error is the end.
func readOrder(fd int) (o order, err error) {
	header := make([]byte, orderBytes)
	rights := make([]byte, unix.CmsgSpace(3*4))
	var n, rightsLength int
	for {
		n, rightsLength, _, _, err = unix.Recvmsg(fd, header, rights, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err == nil && n == 0 {
		err = unix.EPIPE
	}
	if err != nil {
		return o, err
	}
	if rightsLength > 0 {
		if o.streams, err = parseRights(rights[:rightsLength]); err != nil {
			return o, err
		}
	}
	if err := readFull(fd, header[n:]); err != nil {
		return o, err
	}
	o.what, o.spec = header[0], make([]byte, binary.BigEndian.Uint32(header[1:]))
	return o, readFull(fd, o.spec)
}

func parseRights(raw []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(raw)
	for _, message := range messages {
		more, err := unix.ParseUnixRights(&message)
		if err != nil {
			return fds, err
		}
		fds = append(fds, more...)
	}
	return fds, err
}

func readFull(fd int, into []byte) error {
	for len(into) > 0 {
		n, err := unix.Read(fd, into)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return unix.EPIPE
		default:
			into = into[n:]
		}
	}
	return nil
}

// Spec is the program to be started.
type Spec struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	// Limits, lowered to what the launcher may have.
	Processes     uint64 `json:"processes"`
	OpenFiles     uint64 `json:"openFiles"`
	FileSizeBytes uint64 `json:"fileSizeBytes"`
	// Landlock confines signals to the run, and hides these directories.
	Landlock bool     `json:"landlock"`
	Hidden   []string `json:"hidden"`
}

// Event comes from the launcher.
type Event struct {
	Kind    string              `json:"kind"`
	Message string              `json:"message,omitempty"` // with EventFailed
	NoRoom  bool                `json:"noRoom,omitempty"`  // with EventFailed: for another process, just now
	Status  *syscall.WaitStatus `json:"status,omitempty"`  // the program's, once
	Usage   *Usage              `json:"usage,omitempty"`   // with EventDone
}

// The kinds of events, in their order. A program that leaves nobody behind
// ends with EventDone alone, which then has its status.
const (
	EventBegun   = "begun"   // the order was read: from now on the program may run
	EventStarted = "started" // execve succeeded
	EventFailed  = "failed"  // it did not, or a step before it; the launcher is free again
	EventExit    = "exit"    // the program itself ended; others of its run live, until orderEnd
	EventDone    = "done"    // no process of the run is left; the launcher is free again
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
