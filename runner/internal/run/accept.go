package run

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/journal"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// Accept starts an execution, or finds the one that already is. It returns
// once the acceptance is durable; created is false for a repeated call.
func (m *Manager) Accept(key Key, body []byte) (run *Run, created bool, err error) {
	sum := sha256.Sum256(body)
	bodySHA256 := hex.EncodeToString(sum[:])
	m.mu.Lock()
	defer m.mu.Unlock()
	if run := m.runs[key]; run != nil {
		if run.bodySHA256 != bodySHA256 {
			return nil, false, refuse(409, "Conflict", "execution %s was started with another body", key)
		}
		return run, false, nil
	}
	if m.journal.Released(key.UID, key.Attempt) {
		return nil, false, refuse(410, "Released", "execution %s ended and was released", key)
	}
	program, err := wire.ParseRequest(body)
	if err != nil {
		return nil, false, refuse(400, "Invalid", "%v", err)
	}
	if err := m.hasRoom(); err != nil {
		return nil, false, err
	}
	run, err = m.newRun(key, bodySHA256, program)
	if err != nil {
		return nil, false, err
	}
	m.runs[key], m.active[key] = run, run
	if len(m.active) > 1 {
		for _, other := range m.active {
			other.markShared()
		}
	}
	go m.supervise(run)
	return run, true, nil
}

// hasRoom is called with the lock held.
func (m *Manager) hasRoom() error {
	switch {
	case m.draining:
		return refuse(503, "Draining", "the runner is shutting down")
	case m.config.Barred != nil && m.config.Barred():
		return refuse(503, "PolicyUnseen", "the pod's network policy was not seen in force; no code starts before")
	case m.config.OneShot && len(m.runs) > 0:
		return refuse(503, "Draining", "this runner serves one execution and has it already")
	case len(m.active) >= m.config.MaxConcurrent:
		return refuse(429, "Busy", "%d executions run, at most %d may at once", len(m.active), m.config.MaxConcurrent)
	case len(m.runs) >= m.config.MaxUnreleased:
		return refuse(429, "TableFull", "%d results wait for release, at most %d may", len(m.runs), m.config.MaxUnreleased)
	}
	return nil
}

// freeSlot is called with the lock held.
func (m *Manager) freeSlot() int {
	taken := make(map[int]bool, len(m.active))
	for _, run := range m.active {
		taken[run.slot] = true
	}
	slot := 0
	for taken[slot] {
		slot++
	}
	return slot
}

func (m *Manager) newRun(key Key, bodySHA256 string, program *wire.Program) (*Run, error) {
	dir := filepath.Join(m.config.OutputDir, journal.FileName(key.UID, key.Attempt))
	run := &Run{
		key: key, bodySHA256: bodySHA256, program: program, dir: dir,
		done: make(chan struct{}), stopped: make(chan struct{}), atOnce: make(chan struct{}),
		over: make(chan struct{}), slot: m.freeSlot(),
		doc: wire.Document{
			UID: key.UID, Attempt: key.Attempt, State: wire.Accepted, AcceptedTime: wire.Time{Time: time.Now()},
		},
	}
	run.ownBytes = ownBytes(program)
	run.blameless(m.disk.Last())
	if err := m.journal.Write(run.record()); err != nil {
		return nil, refuse(503, "JournalFailed", "the acceptance of %s cannot be made durable: %v", key, err)
	}
	// What a crashed predecessor may have left under this name is not ours.
	_ = os.RemoveAll(dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		m.log.Warn("no directory for output", "execution", key.String(), "error", err)
	}
	for _, s := range []struct {
		name string
		into *stream
	}{{"stdout", &run.stdout}, {"stderr", &run.stderr}} {
		var tee func([]byte)
		if m.config.Tee != nil {
			tee = func(block []byte) { m.config.Tee(key.String(), s.name, block) }
		}
		*s.into = output.NewStream(filepath.Join(dir, s.name), program.OutputLimitBytes, tee)
	}
	return run, nil
}
