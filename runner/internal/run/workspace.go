package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// stage is what one run has on disk beside its output.
type stage struct {
	root     *os.Root
	codeName string
	tmp      string
	err      error
	once     sync.Once
}

// codeStem begins the name of the code's file. A name of its own for each run
// would keep equal errors apart, and nobody could read it.
const codeStem = output.OwnPrefix + "main"

// codeName of a run: of those that run at once each has another slot.
func (r *Run) codeName() string {
	if r.slot == 0 {
		return codeStem + r.program.Extension
	}
	return fmt.Sprintf("%s-%d%s", codeStem, r.slot+1, r.program.Extension)
}

// prepare writes the run's files, its code and its private TMPDIR. All goes
// through os.Root: a link that an earlier program planted in the workspace
// leads nowhere outside of it.
func (m *Manager) prepare(run *Run) *stage {
	s := &stage{
		root:     m.workspace,
		codeName: run.codeName(),
		tmp:      filepath.Join(m.config.TmpDir, fmt.Sprintf("soulbox-%s-%d", run.key.UID, run.key.Attempt)),
	}
	removeTree(s.tmp) // of a runner that died
	if s.err = os.Mkdir(s.tmp, 0o700); s.err != nil {
		return s
	}
	for _, file := range run.program.Files {
		forgetByteCode(s.root, file.Path)
	}
	for _, file := range run.program.Files {
		if err := s.write(file.Path, file.Content, file.Mode); err != nil {
			s.err = fmt.Errorf("files: %q cannot be written: %w", file.Path, s.explain(file.Path, err))
			return s
		}
	}
	_ = s.root.RemoveAll(s.codeName) // also a directory that an earlier program put there
	if err := s.write(s.codeName, run.program.Code, 0o600); err != nil {
		s.err = fmt.Errorf("code cannot be written: %w", err)
	}
	return s
}

// explain says in words of the workspace why a file cannot be written.
func (s *stage) explain(name string, err error) error {
	for at, c := range name {
		if c != '/' {
			continue
		}
		if info, statErr := s.root.Lstat(name[:at]); statErr == nil && !info.IsDir() && info.Mode()&os.ModeSymlink == 0 {
			return fmt.Errorf("%q is a file in the workspace, not a directory", name[:at])
		}
	}
	if info, statErr := s.root.Lstat(name); statErr == nil && info.IsDir() {
		return errors.New("the workspace has a directory of that name")
	}
	return err
}

// ownBytes is a bound of what prepare takes on disk, and the slack: a run that
// finds the disk over its limit is not to blame for that.
func ownBytes(p *wire.Program) int64 {
	const block = 4096
	sum := int64(len(p.Code)) + 2*block + diskSlack
	for _, file := range p.Files {
		sum += int64(len(file.Content)) + 2*block
	}
	return sum
}

// write makes a new file. What was there is unlinked first and not opened: it
// may be a FIFO, which would block, or a link to another file.
func (s *stage) write(name string, content []byte, mode os.FileMode) error {
	if dir := path.Dir(name); dir != "." {
		if err := s.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if chmodErr := f.Chmod(mode); err == nil { // whatever the umask is
		err = chmodErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// tidy removes the code and the private TMPDIR; safe to repeat. A program may
// leave a million files: after a moment the rest is removed in the background.
func (s *stage) tidy() {
	s.once.Do(func() {
		_ = s.root.RemoveAll(s.codeName)
		done := make(chan struct{})
		go func() { removeTree(s.tmp); close(done) }()
		select {
		case <-done:
		case <-time.After(tidyLimit):
		}
	})
}

// removeTree removes all of a directory, also what a program made unreadable.
func removeTree(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}

// spec is what the exec stage gets.
func (s *stage) spec(run *Run, m *Manager) *launch.Spec {
	p := run.program
	argv := append(append(append([]string{}, p.Command...), filepath.Join(m.config.Workspace, s.codeName)), p.Args...)
	return &launch.Spec{
		Argv: argv, Env: m.environment(os.Environ(), s.tmp, p.Env), Dir: m.config.Workspace,
		Processes: m.processLimit(uint64(p.Limits.Processes)),
		OpenFiles: uint64(p.Limits.OpenFiles), FileSizeBytes: uint64(p.Limits.FileSizeBytes),
		Landlock: m.config.Landlock, Hidden: []string{m.config.StateDir, m.config.OutputDir},
	}
}

// reservedTasks of the group's pids.max stay free for the runner: a launcher
// and its threads.
const reservedTasks = 16

// processLimit is the RLIMIT_NPROC that leaves a program what is asked, and
// the runner its own within the limit of the group.
func (m *Manager) processLimit(asked uint64) uint64 {
	own := m.ownThreads()
	limit := asked + own
	if most := m.pidsLimit; most != nil {
		limit = min(limit, uint64(max(*most-reservedTasks, int64(own)+1)))
	}
	return limit
}

// ownThreads is what the runner and its launchers take of RLIMIT_NPROC, which
// counts the threads of a UID: a limit of N shall leave N to the program.
// A launcher or exec stage has at most 8 (measured: 5 or 6).
func (m *Manager) ownThreads() uint64 {
	return uint64(proc.Threads()) + 8*uint64(m.config.MaxConcurrent+1)
}
