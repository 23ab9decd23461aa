//go:build linux && (amd64 || arm64)

package signals

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipeFD is where the handler writes. It does not block: a full pipe drops a
// signal, of which one was enough.
var pipeFD int32

// goHandler is where Go's own handler is, for faults that are real.
var goHandler uintptr

// Implemented in handler_*.s.
func handlerAddress() uintptr
func faultHandlerAddress() uintptr
func restorerAddress() uintptr

// kernelSigaction is struct sigaction of the kernel for 64-bit machines, see
// rt_sigaction(2).
type kernelSigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	saSiginfo  = 0x4
	saRestart  = 0x10000000
	saOnStack  = 0x08000000 // Go's threads have small stacks and a signal stack
	saRestorer = 0x04000000
	siUser     = 0    // kill(2)
	siKernel   = 0x80 // the terminal's Ctrl-C
	infoBytes  = 128  // sizeof(siginfo_t)
)

// takeStops puts the handler in place of Go's for TERM and INT.
func takeStops() (func() (stop, error), error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// A descriptor of its own, which no finalizer closes.
	fd, err := unix.FcntlInt(writer.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	_ = writer.Close()
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	pipeFD = int32(fd)
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		if _, err := handle(sig, handlerAddress()); err != nil {
			return nil, err
		}
	}
	return func() (stop, error) { return readStop(reader) }, nil
}

// faults are the signals at which Go dies, or panics, whoever sent them: only
// kill(2) and tgkill(2) count as "sent by a user" there (runtime,
// sigFromUser), and sigqueue(3) does not.
var faults = []syscall.Signal{
	unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS,
}

// passOnFaults puts a handler before Go's that lets through what the kernel
// says of our own code. To be called once: a second time it would find itself.
var passOnFaults = sync.OnceValue(func() error {
	for _, sig := range faults {
		before, err := handle(sig, faultHandlerAddress())
		if err != nil {
			return err
		}
		goHandler = before // one for all signals
	}
	return nil
})

// handle puts a handler on a signal and gives the one before it.
func handle(sig syscall.Signal, handler uintptr) (before uintptr, err error) {
	old := kernelSigaction{}
	action := kernelSigaction{
		handler: handler, restorer: restorerAddress(),
		flags: saSiginfo | saRestart | saOnStack | saRestorer, mask: ^uint64(0),
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(&action)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(action.mask), 0, 0)
	if errno != 0 {
		return 0, os.NewSyscallError("rt_sigaction", errno)
	}
	return old.handler, nil
}

func readStop(reader *os.File) (stop, error) {
	info := make([]byte, infoBytes)
	n, err := reader.Read(info) // whole records: pipe(7), PIPE_BUF
	if err != nil || n != infoBytes {
		return stop{}, fmt.Errorf("read siginfo: %d bytes: %w", n, err)
	}
	return parseInfo(info), nil
}

// parseInfo reads si_signo, si_code and si_pid of a siginfo_t, sigaction(2).
func parseInfo(info []byte) stop {
	field := func(at int) int { return int(int32(binary.NativeEndian.Uint32(info[at:]))) }
	code, pid := field(8), field(16)
	return stop{
		name: unix.SignalName(syscall.Signal(field(0))), pid: pid,
		outside: pid == 0 && (code == siUser || code == siKernel),
	}
}
