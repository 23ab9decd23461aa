package run

import (
	"path/filepath"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/journal"
	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// warmUp starts the launcher of the next run ahead of time, unless one waits
// already or none can be needed.
func (m *Manager) warmUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.warm) > 0 || m.draining || len(m.active) >= m.config.MaxConcurrent {
		return
	}
	launcher, err := launch.Spawn(m.reaper, m.config.Seccomp)
	if err != nil {
		m.log.Warn("no launcher ahead of time", "error", err)
		return
	}
	m.warm = append(m.warm, launcher)
}

// keep takes back a launcher whose run is over, for the next; false when there
// will be none.
func (m *Manager) keep(launcher *launch.Launcher) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining || m.config.OneShot || len(m.warm) >= m.config.MaxConcurrent {
		return false
	}
	m.warm = append(m.warm, launcher)
	return true
}

// takeWarm hands over a launcher that waits, or nil.
func (m *Manager) takeWarm() *launch.Launcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.warm) == 0 {
		return nil
	}
	last := len(m.warm) - 1
	launcher := m.warm[last]
	m.warm = m.warm[:last]
	return launcher
}

// giveUpWarm ends the launchers that wait when no other run is active: then
// nothing but the runner may be left, and kill(-1) can make sure of it.
func (m *Manager) giveUpWarm() {
	m.mu.Lock()
	var warm []*launch.Launcher
	if len(m.active) <= 1 {
		warm, m.warm = m.warm, nil
	}
	m.mu.Unlock()
	for _, launcher := range warm {
		m.discard(launcher)
	}
}

// shrinkWarm ends all launchers that wait but one: runs are seldom as many at
// once as they may be.
func (m *Manager) shrinkWarm() {
	m.mu.Lock()
	var spare []*launch.Launcher
	if len(m.warm) > 1 {
		spare = append(spare, m.warm[1:]...)
		m.warm = m.warm[:1]
	}
	m.mu.Unlock()
	for _, launcher := range spare {
		m.discard(launcher)
	}
}

// Close ends the launchers that wait and closes the journal.
func (m *Manager) Close() {
	for launcher := m.takeWarm(); launcher != nil; launcher = m.takeWarm() {
		m.discard(launcher)
	}
	_ = m.journal.Close()
	_ = m.workspace.Close()
}

// recover takes up a record of an earlier runner process. That process is
// gone and all of its runs with it, so an unfinished one is finished here:
// nobody can know whether its program had side effects, so it is not run again.
func (m *Manager) recover(record journal.Record) error {
	doc := record.Document
	key := Key{UID: doc.UID, Attempt: doc.Attempt}
	if m.journal.Released(key.UID, key.Attempt) {
		return m.journal.Drop(key.UID, key.Attempt)
	}
	run := &Run{
		key: key, bodySHA256: record.BodySHA256, ended: true,
		dir:  filepath.Join(m.config.OutputDir, journal.FileName(key.UID, key.Attempt)),
		done: make(chan struct{}), stopped: make(chan struct{}), over: make(chan struct{}),
		atOnce: make(chan struct{}),
	}
	close(run.done)
	close(run.over)
	var stdout, stderr *wire.Stream
	if doc.Output != nil {
		stdout, stderr = &doc.Output.Stdout, &doc.Output.Stderr
	}
	run.stdout = output.Recover(run.StreamPath("stdout"), stdout)
	run.stderr = output.Recover(run.StreamPath("stderr"), stderr)
	doc.Output = nil
	if doc.State != wire.Finished {
		now := wire.Time{Time: time.Now()}
		doc.CompletionTime = &now
		doc.Result = &wire.Result{Outcome: wire.StartFailed, Message: "the runner ended before the program was started"}
		if doc.StartTime != nil {
			milliseconds := now.Sub(doc.StartTime.Time).Milliseconds()
			doc.DurationMilliseconds = &milliseconds
			doc.Result = &wire.Result{Outcome: wire.Signaled, Signal: "SIGKILL",
				Message: "the runner ended during the run; output and times are what was saved by then"}
		}
		doc.State = wire.Finished
	}
	run.doc = doc
	m.runs[key] = run
	final := run.record()
	if doc.StartTime != nil {
		final.Document.Output = run.Document().Output
	}
	return m.journal.Write(final)
}
