// Package run keeps the table of executions and takes each through its life:
// accept, prepare, start, watch, end, release. The HTTP server calls it and
// decides nothing itself.
package run

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/journal"
	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/reap"
	"github.com/soulbox-dev/soulbox/runner/internal/stats"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// Config of the table. Directories are absolute.
type Config struct {
	Workspace        string
	StateDir         string
	OutputDir        string
	TmpDir           string
	MaxConcurrent    int
	MaxUnreleased    int
	DiskLimitBytes   int64 // 0: none
	MemoryLimitBytes int64 // 0: what the cgroup says
	// CPULimitMillicores is what libraries are told of; 0: nothing.
	CPULimitMillicores int64
	OneShot            bool
	OneShotLinger      time.Duration
	DrainTimeout       time.Duration
	Landlock           bool
	Seccomp            bool
	// Barred, if not nil, tells that nothing may start yet.
	Barred func() bool
	// Tee, if not nil, sees the output of every run; it must not block.
	Tee func(execution, stream string, block []byte)
}

// Key names one attempt of one Execution.
type Key struct {
	UID     string
	Attempt int
}

func (k Key) String() string { return fmt.Sprintf("%s/%d", k.UID, k.Attempt) }

// Refusal is why a call cannot be served. Code is the word on the wire, Status
// the HTTP status.
type Refusal struct {
	Status  int
	Code    string
	Message string
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

func refuse(status int, code, format string, args ...any) error {
	return &Refusal{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Manager is the table of executions.
type Manager struct {
	config     Config
	reaper     *reap.Reaper
	journal    *journal.Journal
	cgroup     *stats.Cgroup
	disk       *stats.Disk
	workspace  *os.Root
	log        *slog.Logger
	pidsLimit  *int64
	exit       chan struct{}
	exitOnce   sync.Once
	memoryKill atomic.Pointer[time.Time] // when the watchdog last ended a run
	trim       *time.Timer
	diskRound  atomic.Int64 // counts rebaseDisk
	diskStale  atomic.Bool  // a run ended since the disk was measured
	thorough   sync.Mutex   // held while runs are stopped for a look
	sockets    atomic.Int64 // bytes in them that no cgroup counts, when last measured
	trash      sync.Mutex   // held while what runs left is removed in the background
	occupied   sync.RWMutex // read-held by each run while it may use what scrub removes

	mu       sync.Mutex
	runs     map[Key]*Run
	active   map[Key]*Run // those of runs that are not Finished
	draining bool
	warm     []*launch.Launcher
}

// New opens the journal and takes up what an earlier process left: finished
// executions stay readable, interrupted ones are finished, never run again.
func New(config Config, reaper *reap.Reaper, cgroup *stats.Cgroup, log *slog.Logger) (*Manager, error) {
	for _, dir := range []string{config.Workspace, config.TmpDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(config.OutputDir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(config.Workspace)
	if err != nil {
		return nil, err
	}
	j, records, err := journal.Open(config.StateDir)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		config: config, reaper: reaper, journal: j, cgroup: cgroup, workspace: root, log: log,
		pidsLimit: cgroup.PIDsLimit(),
		disk:      stats.NewDisk(filepath.Join(config.StateDir, containersMessage), config.Workspace, config.TmpDir),
		exit:      make(chan struct{}), runs: map[Key]*Run{}, active: map[Key]*Run{},
	}
	m.trim = time.AfterFunc(trimAfter, m.giveBackMemory)
	for _, record := range records {
		if err := m.recover(record); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Exited is closed when the runner has nothing left to do and should exit.
func (m *Manager) Exited() <-chan struct{} { return m.exit }

func (m *Manager) requestExit() { m.exitOnce.Do(func() { close(m.exit) }) }

// Find gives an execution, or a Refusal: 410 for a released one, else 404.
func (m *Manager) Find(key Key) (*Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if run := m.runs[key]; run != nil {
		return run, nil
	}
	if m.journal.Released(key.UID, key.Attempt) {
		return nil, refuse(410, "Released", "execution %s ended and was released", key)
	}
	return nil, refuse(404, "NotFound", "no execution %s is known here", key)
}

// List gives all unreleased executions, oldest first, without output,
// files and results.
func (m *Manager) List() []wire.Document {
	m.mu.Lock()
	defer m.mu.Unlock()
	docs := make([]wire.Document, 0, len(m.runs))
	for _, run := range m.runs {
		doc := run.summary()
		// Of any length, and in GET of the one execution.
		doc.Files, doc.FilesOmitted, doc.FilesOmittedReason, doc.ResultFile = nil, 0, "", nil
		docs = append(docs, doc)
	}
	sort.Slice(docs, func(i, j int) bool { return docs[i].AcceptedTime.Before(docs[j].AcceptedTime.Time) })
	return docs
}

// Release forgets a finished execution: its result is recorded elsewhere.
func (m *Manager) Release(key Key) error {
	run, err := m.release(key)
	if run == nil || err != nil {
		return err
	}
	if err := os.RemoveAll(run.dir); err != nil {
		m.log.Warn("released output not removed", "execution", key.String(), "error", err)
	}
	if m.config.OneShot {
		m.requestExit()
	}
	m.exitIfDrained()
	return nil
}

func (m *Manager) release(key Key) (*Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run := m.runs[key]
	switch {
	case run == nil && m.journal.Released(key.UID, key.Attempt):
		return nil, nil
	case run == nil:
		return nil, refuse(404, "NotFound", "no execution %s is known here", key)
	case m.active[key] != nil:
		return nil, refuse(409, "Running", "execution %s has not ended", key)
	}
	if err := m.journal.Release(key.UID, key.Attempt); err != nil {
		return nil, refuse(503, "JournalFailed", "the release of %s cannot be made durable: %v", key, err)
	}
	delete(m.runs, key)
	return run, nil
}

// RunningKeys lists the executions that have not ended.
func (m *Manager) RunningKeys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := make([]string, 0, len(m.active))
	for key := range m.active {
		keys = append(keys, key.String())
	}
	sort.Strings(keys)
	return keys
}

// Drain accepts nothing more, cancels what runs and lets Exited close once all
// is released, or after the drain timeout.
func (m *Manager) Drain(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return
	}
	m.draining = true
	m.log.Info("draining", "reason", reason, "running", len(m.active), "unreleased", len(m.runs))
	for _, run := range m.active {
		run.Stop(wire.Cancelled, reason)
	}
	time.AfterFunc(m.config.DrainTimeout, m.requestExit)
	if len(m.runs) == 0 {
		m.requestExit()
	}
}

func (m *Manager) exitIfDrained() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining && len(m.runs) == 0 {
		m.requestExit()
	}
}

// giveBackMemory returns to the kernel what the last runs needed: the sandbox
// pays for it. Not while something runs, for it takes a millisecond of CPU.
func (m *Manager) giveBackMemory() {
	if len(m.activeRuns()) == 0 {
		m.shrinkWarm()
		debug.FreeOSMemory()
	}
}

// Disk is the measure of workspace and temporary files.
func (m *Manager) Disk() *stats.Disk { return m.disk }

// Prepare makes the first run as fast as the others.
func (m *Manager) Prepare() {
	if m.config.DiskLimitBytes > 0 {
		m.disk.Used(0)
	}
	m.warmUp()
}
