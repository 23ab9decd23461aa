package run

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// before holds the counters at the start, to subtract.
type before struct {
	network   proc.Network
	networkOK bool
	oomKills  *int64
}

func (m *Manager) countersNow() (b before) {
	b.network, b.networkOK = proc.ReadNetwork()
	b.oomKills = m.cgroup.OOMKills()
	return b
}

// judge turns how the processes ended into an outcome. A cause set by the
// runner before the program's end counts first.
func (m *Manager) judge(run *Run, end *ending, start before) *wire.Result {
	cause, text := run.endedAt(time.Now())
	status := end.launcher
	if end.program != nil {
		status = *end.program
	}
	killedForMemory := int64(0)
	if now := m.cgroup.OOMKills(); now != nil && start.oomKills != nil {
		killedForMemory = max(*now-*start.oomKills, 0)
	}
	result := &wire.Result{Outcome: cause, Message: text, OOMKills: killedForMemory, LeftAtWork: end.leftAtWork}
	if status.Signaled() {
		result.Signal = signalName(status.Signal())
	}
	if cause != "" {
		return result
	}
	switch {
	case status.Signaled() && status.Signal() == unix.SIGKILL && killedForMemory > 0:
		result.Outcome = wire.OOMKilled
		result.Message = "the kernel killed the program: the pod's memory limit was reached"
	case end.program == nil:
		result.Outcome = wire.Signaled
		if result.Signal == "" {
			result.Signal = "SIGKILL"
		}
		result.Message = "the launcher of the run was killed, and all of the run with it"
	case status.Signaled():
		result.Outcome = wire.Signaled
	default:
		result.Outcome = wire.Exited
		code := status.ExitStatus()
		result.ExitCode = &code
	}
	if result.Message == "" && killedForMemory > 0 {
		result.Message = "the kernel killed a process of the sandbox during the run: its memory limit was reached"
	}
	return result
}

// signalName is as in signal(7), for real-time signals too, which have no name
// in the kernel.
func signalName(sig syscall.Signal) string {
	const rtMin, rtMax = 34, 64 // of the C library, which keeps 32 and 33 for itself
	switch name := unix.SignalName(sig); {
	case name != "":
		return name
	case sig == rtMin:
		return "SIGRTMIN"
	case sig > rtMin && sig <= rtMax:
		return fmt.Sprintf("SIGRTMIN+%d", sig-rtMin)
	}
	return fmt.Sprintf("SIG%d", sig)
}

// account adds up what the run consumed.
func (m *Manager) account(run *Run, end *ending, start before) *wire.Usage {
	run.mu.Lock()
	usage := &wire.Usage{
		CPUTimeMilliseconds: end.usage.CPUMicroseconds / 1000,
		PeakMemoryBytes:     max(end.usage.MaxRSSBytes, run.peakMemory),
		Shared:              run.shared,
	}
	run.mu.Unlock()
	if end.hasIO {
		usage.DiskReadBytes, usage.DiskWriteBytes = &end.usage.IO.ReadBytes, &end.usage.IO.WriteBytes
	}
	if now, ok := proc.ReadNetwork(); ok && start.networkOK {
		received, sent := transferred(start.network, now)
		usage.NetworkRxBytes, usage.NetworkTxBytes = &received, &sent
	}
	return usage
}

// transferred is what went over the network between two looks. An interface that went meanwhile took
// its counters along, so that less may be counted than before.
func transferred(before, now proc.Network) (received, sent int64) {
	return max(now.RxBytes-before.RxBytes, 0), max(now.TxBytes-before.TxBytes, 0)
}

// cut bounds a message: it may quote a PATH or a file name of any length.
func cut(message string) string {
	const most = 1024
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "…"
}
