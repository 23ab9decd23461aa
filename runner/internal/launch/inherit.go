package launch

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Descriptors that a program must not inherit. The last is the highest there
// can be: gVisor refuses a larger one (pkg/sentry/syscalls/linux, CloseRange).
const (
	firstPrivate = 3
	lastPrivate  = 1<<31 - 1
)

// inheritNothing marks every descriptor above 2 close-on-exec, whatever the
// container runtime or a library left open; what is opened later is made so.
// Some kernels do not have close_range(2), or not its flag (Linux 5.11), and
// some sandboxes forbid it: any error means to look for the open ones in the
// directory of descriptors.
func inheritNothing(closeRange func(first, last, flags uint) error, descriptors string) error {
	if closeRange(firstPrivate, lastPrivate, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		return fmt.Errorf("open descriptors cannot be found: %w", err)
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			return fmt.Errorf("open descriptors cannot be found: %w", err)
		}
		if fd < firstPrivate {
			continue
		}
		// EBADF: closed since, as is the one that ReadDir had.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil && err != unix.EBADF {
			return os.NewSyscallError("fcntl F_SETFD", err)
		}
	}
	return nil
}
