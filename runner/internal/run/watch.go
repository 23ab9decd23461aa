package run

import (
	"fmt"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

const (
	// firstSample catches programs that live only a moment longer than the
	// interpreter's start; ru_maxrss covers single processes exactly anyway.
	firstSample  = 50 * time.Millisecond
	sampleEvery  = 250 * time.Millisecond
	watchdogTick = 10 * time.Millisecond // at 1 GB/s a run grows 10 MB in it
	memoryPause  = 200 * time.Millisecond
	diskEvery    = time.Second
	// diskSlack is what a run may add to a disk that is over its limit already:
	// an interpreter's small files, and blocks the file system takes late.
	diskSlack = 256 << 10
	// watchdogPart of the limit is where cgroup v2's watchdog acts: the
	// kernel would kill the whole container at 100 %, results and all.
	watchdogPart = 0.95
)

// watchMemory samples the memory of a run's processes until its program is
// over, and on cgroup v2 is the watchdog of the pod's limit. (On v1 the kernel
// kills one process and the runner sees it in oom_kill.)
func (m *Manager) watchMemory(run *Run) {
	limit := m.guardedLimit()
	sample := time.NewTimer(firstSample)
	defer sample.Stop()
	var tick <-chan time.Time
	if limit > 0 {
		ticker := time.NewTicker(watchdogTick)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-run.over:
			return
		case <-sample.C:
			begin := time.Now()
			run.sampleMemory()
			// Never more than a twentieth of a CPU on looking.
			sample.Reset(max(sampleEvery, 20*time.Since(begin)))
		case <-tick:
			m.guardMemory(run, limit)
		}
	}
}

// guardedLimit is the pod's memory limit where the watchdog must keep it, else 0.
func (m *Manager) guardedLimit() int64 {
	if m.cgroup.Version != 2 {
		return 0
	}
	limit := m.config.MemoryLimitBytes
	if fromGroup := m.cgroup.MemoryLimit(); limit == 0 && fromGroup != nil {
		limit = *fromGroup
	}
	return limit
}

// isMemoryShort tells whether the watchdog would end a run now.
func (m *Manager) isMemoryShort() bool {
	limit := m.guardedLimit()
	used := m.cgroup.MemoryUsed()
	return limit > 0 && used != nil && *used >= int64(float64(limit)*watchdogPart)
}

// sampleMemory measures all processes of the run together, in bytes.
func (r *Run) sampleMemory() int64 {
	bytes := proc.TreeMemory(r.processes())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peakMemory = max(r.peakMemory, bytes)
	return bytes
}

// processes are those of the run as they are now.
func (r *Run) processes() []int {
	r.mu.Lock()
	launcher := r.launcher
	r.mu.Unlock()
	if launcher == 0 || !proc.Usable() {
		return nil
	}
	tree, err := proc.ReadTree()
	if err != nil {
		return nil
	}
	return tree.Descendants(launcher, nil)
}

// guardMemory ends the largest run when the pod is about to be killed. Every
// run has its own guard; each acts only if its own run is the largest, and
// none while another does or right after: the kernel needs a moment to take the
// memory back.
func (m *Manager) guardMemory(run *Run, limit int64) {
	threshold := int64(float64(limit) * watchdogPart)
	if used := m.cgroup.MemoryUsed(); used == nil || *used < threshold {
		return
	}
	used := m.cgroup.MemoryUnreclaimable()
	if used == nil || *used < threshold || m.isEnding(wire.OOMKilled) || m.largest((*Run).sampleMemory) != run {
		return
	}
	now := time.Now()
	if last := m.memoryKill.Load(); last != nil && now.Sub(*last) < memoryPause {
		return
	}
	m.memoryKill.Store(&now)
	run.StopAtOnce(wire.OOMKilled, fmt.Sprintf(
		"the sandbox used %d of its %d bytes of memory, and this execution the most of them", *used, limit))
}

// watchDisk ends a run that fills the disk past its limit, unless the disk was
// as full before it: a run that only cleans up is let be.
func (m *Manager) watchDisk(run *Run) {
	limit := m.config.DiskLimitBytes
	if limit == 0 {
		return
	}
	if m.diskStale.Load() {
		m.rebaseDisk(run)
	}
	ticker := time.NewTicker(diskEvery)
	defer ticker.Stop()
	for {
		select {
		case <-run.over:
			return
		case <-ticker.C:
		}
		// What was measured while the blame was shared out anew is no proof.
		round := m.diskRound.Load()
		used, complete := m.disk.Used(diskEvery / 2)
		used += m.unlinkedBytes()
		tooMuch := used > limit && used > run.diskBefore.Load()
		if (!tooMuch && complete) || m.isEnding(wire.DiskLimit) || m.largest(writtenBy) != run || round != m.diskRound.Load() {
			continue
		}
		text := fmt.Sprintf("workspace and temporary files took %d bytes, %d are allowed", used, limit)
		if !complete {
			text = "workspace and temporary files are nested too deep, or are too many, to be measured"
		}
		run.Stop(wire.DiskLimit, text)
		return
	}
}

// rebaseDisk takes what is on disk now as the state before these runs.
func (m *Manager) rebaseDisk(runs ...*Run) {
	m.diskStale.Store(false)
	used, _ := m.disk.Used(0)
	for _, run := range runs {
		run.diskBefore.Store(max(run.diskBefore.Load(), used+diskSlack))
	}
	m.diskRound.Add(1)
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

// unlinkedBytes counts files without a name that a process still holds open.
func (m *Manager) unlinkedBytes() (sum int64) {
	seen := map[[2]uint64]struct{}{}
	for _, run := range m.activeRuns() {
		sum += proc.UnlinkedBytes(run.processes(), m.disk.Dirs(), seen)
	}
	return sum
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
