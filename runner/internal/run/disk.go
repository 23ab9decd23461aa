package run

import (
	"fmt"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// # How a disk without a quota is bounded
//
// What has a name is measured every second, and what processes hold open
// without one. That a program can evade: a mapping holds a file, so does the
// queue of a socket it was sent over, and descriptors can be passed around
// faster than processes are looked at. What it cannot evade is the file system's
// own count of free blocks, which it shares with the node, though. So when more
// of the disk is gone since a run began than that run may take, all runs are
// stopped for a look at everything they hold: what then can be measured counts,
// and a run that holds what cannot be measured is ended. A process that cannot
// be looked into is never let be.
//
// A tree too deep or too large to be visited ends the run that made it. A later
// one in that workspace is not to blame: it is let be until more of the disk is
// gone than it may take.

const (
	diskEvery = time.Second
	// diskSlack is what a run may add to a disk that is over its limit already:
	// an interpreter's small files, and blocks the file system takes late.
	diskSlack = 256 << 10
	// thoroughEvery is the least time between two looks that stop the runs.
	thoroughEvery = 5 * time.Second
)

// diskWatch is what the watch of one run remembers.
type diskWatch struct {
	freeBefore   int64
	hidden       map[int]struct{} // processes that could not be looked into the last time
	nextThorough time.Time
}

// watchDisk ends a run that fills the disk past its limit, unless the disk was
// as full before it: a run that only cleans up is let be.
func (m *Manager) watchDisk(run *Run) {
	limit := m.config.DiskLimitBytes
	if limit == 0 {
		return
	}
	watch := &diskWatch{freeBefore: m.disk.Free()}
	// A measurement over the limit may be of a run that is over and was cleaned up
	// after: taken as what was there before, it would let this run take as much again.
	if used, _ := m.disk.Last(); m.diskStale.Load() || used+run.ownBytes > limit {
		m.rebaseDisk()
	}
	run.blameless(m.disk.Last())
	ticker := time.NewTicker(diskEvery)
	defer ticker.Stop()
	for {
		select {
		case <-run.over:
			return
		case <-ticker.C:
		}
		if text := m.lookAtDisk(run, limit, watch); text != "" {
			run.Stop(wire.DiskLimit, text)
			return
		}
	}
}

// lookAtDisk gives the reason to end the run, or nothing.
func (m *Manager) lookAtDisk(run *Run, limit int64, watch *diskWatch) string {
	// What was measured while the blame was shared out anew is no proof.
	round := m.diskRound.Load()
	used, gap := m.disk.Used(diskEvery / 2)
	if gap == nil {
		run.gapBefore.Store(false)
	}
	held, own := proc.NewHeld(m.disk.Dirs()), proc.NewHeld(m.disk.Dirs())
	for _, other := range m.activeRuns() {
		into := held
		if other == run {
			into = own
		}
		into.Look(other.processes())
	}
	if text := watch.hides(own); text != "" {
		return text
	}
	total := used + held.Bytes + own.Bytes
	tooMuch := total > limit && total > run.diskBefore.Load()
	if !tooMuch && (gap == nil || run.gapBefore.Load()) {
		return m.lookThoroughly(run, limit, used, gap, watch)
	}
	switch {
	case !m.isToBlame(run) || round != m.diskRound.Load():
		return ""
	case tooMuch:
		return overLimit(total, limit)
	}
	return fmt.Sprintf("what lies in the workspace or among temporary files cannot be measured, because %v; "+
		"remove it, or write fewer files and levels", gap)
}

// isToBlame tells whether of all runs this one has written most.
func (m *Manager) isToBlame(run *Run) bool {
	return !m.isEnding(wire.DiskLimit) && m.largest(writtenBy) == run
}

func overLimit(used, limit int64) string {
	return fmt.Sprintf("the files there take %d bytes, and %d are allowed", used, limit)
}

// hides tells of a process that cannot be looked into for the second time. Once
// is not enough: between fork and execve each is like its launcher.
func (w *diskWatch) hides(own *proc.Held) string {
	before := w.hidden
	w.hidden = own.Hidden
	for pid := range own.Hidden {
		if _, again := before[pid]; again {
			return fmt.Sprintf("what process %d keeps on disk cannot be measured, because the process cannot be looked into; "+
				"make its program file readable", pid)
		}
	}
	return ""
}

// lookThoroughly stops all runs and looks at all they hold, when more of the
// disk is gone than this run may take.
func (m *Manager) lookThoroughly(run *Run, limit, used int64, gap error, watch *diskWatch) string {
	gone := watch.freeBefore - m.disk.Free()
	begin := time.Now()
	if gone <= max(limit-run.diskBefore.Load(), diskSlack) || begin.Before(watch.nextThorough) {
		return ""
	}
	m.thorough.Lock() // one at a time, or each would take the other's stops for a program's own
	defer m.thorough.Unlock()
	runs := m.activeRuns()
	frozen := proc.Freeze(func() (pids []int) {
		for _, other := range runs {
			pids = append(pids, other.processes()...)
		}
		return pids
	})
	defer frozen.Thaw()
	total, own := used, proc.NewHeld(m.disk.Dirs())
	for _, other := range runs {
		held := own
		if other != run {
			held = proc.NewHeld(m.disk.Dirs())
		}
		held.LookThoroughly(other.everyProcess())
		total += held.Bytes
	}
	watch.nextThorough = begin.Add(max(thoroughEvery, 50*time.Since(begin)))
	const taken = "since the run began, %d bytes of the disk were taken, and %d are allowed; "
	switch {
	case total > limit && total > run.diskBefore.Load() && own.Bytes > 0:
		return overLimit(total, limit)
	case own.Unmeasured != "":
		return fmt.Sprintf(taken+"the run holds what cannot be measured: %s", gone, limit, own.Unmeasured)
	case gap != nil && m.isToBlame(run):
		return fmt.Sprintf(taken+"what lies in the workspace cannot be measured, because %v", gone, limit, gap)
	}
	return ""
}

// blameless takes what was measured as the state before this run.
func (r *Run) blameless(used int64, gap error) {
	r.diskBefore.Store(used + r.ownBytes)
	r.gapBefore.Store(gap != nil)
}

// rebaseDisk takes what is on disk now as the state before these runs.
func (m *Manager) rebaseDisk(runs ...*Run) {
	m.diskStale.Store(false)
	used, gap := m.disk.Measure()
	for _, run := range runs {
		run.diskBefore.Store(max(run.diskBefore.Load(), used+diskSlack))
		run.gapBefore.Store(run.gapBefore.Load() || gap != nil)
	}
	m.diskRound.Add(1)
}
