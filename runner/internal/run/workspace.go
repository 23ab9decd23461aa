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

	"github.com/soulbox-dev/soulbox/runner/internal/handler"
	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// stage is what one run has on disk beside its output: its code in the
// workspace, and a private directory with its input, its result and its TMPDIR.
type stage struct {
	root     *os.Root
	codeName string
	private  string
	own      *os.Root // the private directory, wherever the program moves it
	caller   string   // the name in it of the program that calls the handler, or ""
	err      error
	once     sync.Once
}

// Names in a run's private directory.
const (
	tmpName    = "tmp"
	inputName  = "input.json"
	resultName = "result.json"
)

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

// prepare makes the run's private directory and writes its files and its code.
// All goes through os.Root: a link that an earlier program planted in the
// workspace leads nowhere outside of it.
func (m *Manager) prepare(run *Run) *stage {
	s := &stage{
		root:     m.workspace,
		codeName: run.codeName(),
		private:  filepath.Join(m.config.TmpDir, fmt.Sprintf("soulbox-%s-%d", run.key.UID, run.key.Attempt)),
	}
	if s.err = s.makePrivate(run.program); s.err != nil {
		return s
	}
	for _, file := range run.program.Files {
		forgetByteCode(s.root, file.Path)
	}
	for _, file := range run.program.Files {
		if err := write(s.root, file.Path, file.Content, file.Mode); err != nil {
			s.err = fmt.Errorf("files: %q cannot be written: %w", file.Path, s.explain(file.Path, err))
			return s
		}
	}
	_ = s.root.RemoveAll(s.codeName) // also a directory that an earlier program put there
	if err := write(s.root, s.codeName, run.program.Code, 0o600); err != nil {
		s.err = fmt.Errorf("code cannot be written: %w", err)
	}
	return s
}

// makePrivate makes the private directory, without a result: that is for the
// program to make.
func (s *stage) makePrivate(p *wire.Program) (err error) {
	removeTree(s.private) // of a runner that died
	if err = os.Mkdir(s.private, 0o700); err != nil {
		return err
	}
	if s.own, err = os.OpenRoot(s.private); err != nil {
		return err
	}
	if err = s.own.Mkdir(tmpName, 0o700); err != nil {
		return err
	}
	if p.Input != "" {
		if err = write(s.own, inputName, []byte(p.Input), 0o400); err != nil {
			return fmt.Errorf("input cannot be written: %w", err)
		}
	}
	if p.Handler != nil {
		var source []byte
		s.caller, source = handler.Caller(p.Handler.Language)
		if err = write(s.own, s.caller, source, 0o400); err != nil {
			return fmt.Errorf("what calls the handler cannot be written: %w", err)
		}
	}
	return nil
}

// takeResult keeps what the program left at SOULBOX_RESULT below a run's
// directory of output; nil when that is nothing.
func (s *stage) takeResult(dir string) *wire.ResultFile {
	return output.TakeResult(s.own, resultName, dir)
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
	if p.Input != "" {
		sum += int64(len(p.Input)) + block
	}
	if p.Handler != nil {
		sum += 2 * block
	}
	return sum
}

// write makes a new file. What was there is unlinked first and not opened: it
// may be a FIFO, which would block, or a link to another file.
func write(root *os.Root, name string, content []byte, mode os.FileMode) error {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
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

// tidy removes the code and the private directory; safe to repeat. A program may
// leave a million files: after a moment the rest is removed in the background.
func (s *stage) tidy() {
	s.once.Do(func() {
		_ = s.root.RemoveAll(s.codeName)
		if s.own != nil {
			_ = s.own.Close()
		}
		done := make(chan struct{})
		go func() { removeTree(s.private); close(done) }()
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
	argv := append([]string{}, p.Command...)
	if p.Handler != nil {
		argv = append(argv, filepath.Join(s.private, s.caller), p.Handler.Name)
	}
	argv = append(append(argv, filepath.Join(m.config.Workspace, s.codeName)), p.Args...)
	files := []wire.EnvVar{{Name: resultVariable, Value: filepath.Join(s.private, resultName)}}
	if p.Input != "" {
		files = append(files, wire.EnvVar{Name: inputVariable, Value: filepath.Join(s.private, inputName)})
	}
	env := m.environment(os.Environ(), filepath.Join(s.private, tmpName), p.Env, files...)
	return &launch.Spec{
		Argv: argv, Env: env, Dir: m.config.Workspace,
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
