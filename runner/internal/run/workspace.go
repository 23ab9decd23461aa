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

// defaultPath is used where the image sets no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// stage is what one run has on disk beside its output.
type stage struct {
	root     *os.Root
	codeName string
	tmp      string
	err      error
	once     sync.Once
}

// prepare writes the run's files, its code and its private TMPDIR. All goes
// through os.Root: a link that an earlier program planted in the workspace
// leads nowhere outside of it.
func (m *Manager) prepare(run *Run) *stage {
	stem := fmt.Sprintf("%s-%d", run.key.UID, run.key.Attempt)
	s := &stage{
		root:     m.workspace,
		codeName: output.OwnPrefix + stem + run.program.Extension,
		tmp:      filepath.Join(m.config.TmpDir, "soulbox-"+stem),
	}
	removeTree(s.tmp) // of a runner that died
	if s.err = os.Mkdir(s.tmp, 0o700); s.err != nil {
		return s
	}
	for _, file := range run.program.Files {
		if err := s.write(file.Path, file.Content, 0o644); err != nil {
			s.err = fmt.Errorf("files: %s cannot be written: %w", file.Path, err)
			return s
		}
	}
	_ = s.root.RemoveAll(s.codeName) // also a directory that an earlier program put there
	if err := s.write(s.codeName, run.program.Code, 0o600); err != nil {
		s.err = fmt.Errorf("code cannot be written: %w", err)
	}
	return s
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
		Argv: argv, Env: environment(m.config.Workspace, s.tmp, p.Env), Dir: m.config.Workspace,
		Processes: uint64(p.Limits.Processes) + m.ownThreads(),
		OpenFiles: uint64(p.Limits.OpenFiles), FileSizeBytes: uint64(p.Limits.FileSizeBytes),
		Landlock: m.config.Landlock, Hidden: []string{m.config.StateDir, m.config.OutputDir},
	}
}

// environment is a small base, then what the request gives, which wins.
// Nothing of the runner's own goes along but PATH, which the image sets.
func environment(workspace, tmp string, given []wire.EnvVar) []string {
	search := os.Getenv("PATH")
	if search == "" {
		search = defaultPath
	}
	base := []wire.EnvVar{
		{Name: "PATH", Value: search}, {Name: "HOME", Value: workspace},
		{Name: "LANG", Value: "C.UTF-8"}, {Name: "TMPDIR", Value: tmp},
	}
	values := map[string]string{}
	var order []string
	for _, e := range append(base, given...) {
		if _, there := values[e.Name]; !there {
			order = append(order, e.Name)
		}
		values[e.Name] = e.Value
	}
	env := make([]string, 0, len(order))
	for _, name := range order {
		env = append(env, name+"="+values[name])
	}
	return env
}

// ownThreads is what the runner and its launchers take of RLIMIT_NPROC, which
// counts the threads of a UID: a limit of N shall leave N to the program.
// A launcher or exec stage has at most 8 (measured: 5 or 6).
func (m *Manager) ownThreads() uint64 {
	return uint64(proc.Threads()) + 8*uint64(m.config.MaxConcurrent+1)
}
