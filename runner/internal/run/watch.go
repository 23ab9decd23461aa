package run

import (
	"fmt"
	"os"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/reap"
	"github.com/soulbox-dev/soulbox/runner/internal/stats"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

const (
	// firstSample catches programs that live only a moment longer than the
	// interpreter's start; ru_maxrss covers single processes exactly anyway.
	firstSample = 50 * time.Millisecond
	sampleEvery = 250 * time.Millisecond
	// The watchdog looks again before the memory left could be filled.
	watchdogFirst = time.Millisecond * 2
	watchdogLast  = 50 * time.Millisecond
	growthLimit   = 4 << 30 // bytes a second; a guess, above what was seen (3 GB/s into a memfd)
	memoryPause   = 200 * time.Millisecond
	// watchdogPart of the limit is where the watchdog acts. At 100 % the kernel
	// kills the whole container (cgroup v2), results and all, or the largest
	// process (v1), which is the runner when the memory is in files and in no
	// process.
	watchdogPart = 0.95
)

// watchMemory samples the memory of a run's processes until its program is
// over, and is the watchdog of the pod's limit.
func (m *Manager) watchMemory(run *Run) {
	limit := m.guardedLimit()
	sample := time.NewTimer(firstSample)
	defer sample.Stop()
	tick := time.NewTimer(watchdogFirst)
	defer tick.Stop()
	if limit == 0 {
		tick.Stop()
	}
	for {
		select {
		case <-run.over:
			return
		case <-sample.C:
			begin := time.Now()
			run.sampleMemory()
			m.sampleSockets(limit)
			// Never more than a twentieth of a CPU on looking.
			sample.Reset(max(sampleEvery, 20*time.Since(begin)))
		case <-tick.C:
			tick.Reset(m.guardMemory(run, limit))
		}
	}
}

// guardedLimit is the pod's memory limit, or 0.
func (m *Manager) guardedLimit() int64 {
	limit := m.config.MemoryLimitBytes
	if fromGroup := m.cgroup.MemoryLimit(); limit == 0 && fromGroup != nil {
		limit = *fromGroup
	}
	return limit
}

// isMemoryShort tells whether the watchdog would end a run now.
func (m *Manager) isMemoryShort() bool {
	threshold := int64(float64(m.guardedLimit()) * watchdogPart)
	used := m.memoryUsed(threshold)
	return threshold > 0 && used != nil && *used >= threshold
}

// memoryUsed is the pod's use, beyond the threshold without the page cache.
func (m *Manager) memoryUsed(threshold int64) *int64 {
	used, sockets := m.cgroup.MemoryUsed(), m.sockets.Load()
	if used != nil && *used+sockets >= threshold {
		used = m.cgroup.MemoryUnreclaimable()
	}
	if used == nil || sockets == 0 {
		return used
	}
	sum := *used + sockets
	return &sum
}

// sampleSockets measures what cgroup v1 charges to nobody.
func (m *Manager) sampleSockets(limit int64) {
	if owner := os.Geteuid(); limit > 0 && m.cgroup.Version == 1 && owner != 0 {
		m.sockets.Store(stats.SocketMemory(uint32(owner)))
	}
}

// sampleMemory measures all processes of the run together, in bytes.
func (r *Run) sampleMemory() int64 {
	bytes := proc.TreeMemory(r.processes())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peakMemory = max(r.peakMemory, bytes)
	return bytes
}

// processes are those of the run as they are now, but for zombies.
func (r *Run) processes() []int { return r.below(proc.ReadTree) }

// everyProcess includes zombies: one may be the first thread of a process
// whose other threads live.
func (r *Run) everyProcess() []int { return r.below(proc.ReadWholeTree) }

func (r *Run) below(read func() (*proc.Tree, error)) []int {
	r.mu.Lock()
	launcher := r.launcher
	r.mu.Unlock()
	if launcher == 0 || !proc.Usable() {
		return nil
	}
	tree, err := read()
	if err != nil {
		return nil
	}
	return tree.Descendants(launcher, nil)
}

// guardMemory ends the largest run when the pod is about to be killed, and
// tells when to look again. Every run has its own guard; each acts only if its
// own run is the largest, and none while another does or right after: the
// kernel needs a moment to take the memory back.
func (m *Manager) guardMemory(run *Run, limit int64) time.Duration {
	threshold := int64(float64(limit) * watchdogPart)
	used := m.memoryUsed(threshold)
	if used != nil && *used >= threshold && m.sockets.Load() > 0 {
		m.sampleSockets(limit) // of a run that is over now, perhaps
		used = m.memoryUsed(threshold)
	}
	if used == nil {
		return watchdogLast
	}
	if *used < threshold {
		fullAfter := time.Duration(float64(threshold-*used) / growthLimit * float64(time.Second))
		return min(max(fullAfter, watchdogFirst), watchdogLast)
	}
	if m.isEnding(wire.OOMKilled) || m.largest((*Run).sampleMemory) != run {
		return watchdogFirst
	}
	now := time.Now()
	if last := m.memoryKill.Load(); last != nil && now.Sub(*last) < memoryPause {
		return watchdogFirst
	}
	m.memoryKill.Store(&now)
	run.StopAtOnce(wire.OOMKilled, fmt.Sprintf(
		"the sandbox used %d of its %d bytes of memory, and this execution the most of them", *used, limit))
	reap.KillEach(run.processes()) // by the launcher it would take a millisecond more
	return watchdogFirst
}

// isEnding tells whether a run is being ended for this cause: what it took is
// no fault of the others.
func (m *Manager) isEnding(of wire.Outcome) bool {
	for _, run := range m.activeRuns() {
		run.mu.Lock()
		cause := run.cause
		run.mu.Unlock()
		if cause == of {
			return true
		}
	}
	return false
}

func (m *Manager) activeRuns() []*Run {
	m.mu.Lock()
	defer m.mu.Unlock()
	runs := make([]*Run, 0, len(m.active))
	for _, run := range m.active {
		runs = append(runs, run)
	}
	return runs
}

// writtenBy is what the run's living processes, and the dead ones they waited
// for, sent to storage.
func writtenBy(run *Run) (sum int64) {
	for _, pid := range run.processes() {
		sum += proc.Written(pid)
	}
	return sum
}

// largest gives the active run for which the measure is the largest; of equal
// ones the oldest, so that all who ask agree.
func (m *Manager) largest(measure func(*Run) int64) (found *Run) {
	most := int64(-1)
	for _, run := range m.activeRuns() {
		amount := measure(run)
		if amount > most || (amount == most && run.doc.AcceptedTime.Before(found.doc.AcceptedTime.Time)) {
			found, most = run, amount
		}
	}
	return found
}

// capture keeps the files the request asked for.
func (m *Manager) capture(run *Run) {
	files, omitted, reason := output.Capture(m.workspace, run.program.CaptureFiles, run.dir, run.program.OutputLimitBytes)
	run.mu.Lock()
	defer run.mu.Unlock()
	run.doc.Files, run.doc.FilesOmitted, run.doc.FilesOmittedReason = files, omitted, cut(reason)
}
