package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// newProgram makes all that the child needs between fork and execve, where
// nothing can be allocated.
func newProgram(spec *Spec, streams [3]int, fences []int, filter filter) (*program, error) {
	path, err := findProgram(spec)
	if err != nil {
		return nil, err
	}
	p := &program{fences: fences, filter: filter, name: path}
	for i, fd := range streams {
		p.streams[i] = uintptr(fd)
	}
	if p.path, err = syscall.BytePtrFromString(path); err != nil {
		return nil, startError(path, err)
	}
	if p.dir, err = syscall.BytePtrFromString(spec.Dir); err != nil {
		return nil, &os.PathError{Op: "chdir", Path: spec.Dir, Err: err}
	}
	if p.argv, err = syscall.SlicePtrFromStrings(spec.Argv); err != nil {
		return nil, startError(path, err)
	}
	if p.env, err = syscall.SlicePtrFromStrings(spec.Env); err != nil {
		return nil, startError(path, err)
	}
	return p, p.setLimits(spec)
}

// findProgram looks in the PATH of the program's environment, as execvp(3).
func findProgram(spec *Spec) (string, error) {
	name := spec.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	var search string
	for _, e := range spec.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			search = value
		}
	}
	for _, dir := range filepath.SplitList(search) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("command %q was not found in PATH %q", name, search)
}

func startError(path string, err error) error {
	if errors.Is(err, unix.E2BIG) {
		return fmt.Errorf("%s: arguments and environment are too large for the kernel (one may have 128 KiB)", path)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// openFilesMost is how far a program may raise its own limit of open files, as
// servers and databases do. The soft limit stays low for those that cannot
// take descriptors above 1023 (select(2)) or that close all they may have.
const openFilesMost = 65536

// setLimits takes the spec's limits, lowered to what the launcher may have.
func (p *program) setLimits(spec *Spec) error {
	for i, value := range [len(limited)]uint64{0, spec.OpenFiles, spec.FileSizeBytes, spec.Processes} {
		var now unix.Rlimit
		if err := unix.Getrlimit(limited[i].resource, &now); err != nil {
			return os.NewSyscallError("getrlimit "+limited[i].name, err)
		}
		most := value
		if limited[i].resource == unix.RLIMIT_NOFILE {
			most = max(value, openFilesMost)
		}
		most = min(most, now.Max)
		p.limits[i] = unix.Rlimit{Cur: min(value, most), Max: most}
	}
	return nil
}

// start forks the program and waits until it runs or cannot.
func (p *program) start() (pid int, err error) {
	var status [2]int
	if err := unix.Pipe2(status[:], unix.O_CLOEXEC); err != nil {
		return 0, os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(status[0])
	p.status = uintptr(status[1])
	pid, err = p.fork()
	_ = unix.Close(status[1])
	if err != nil {
		return 0, os.NewSyscallError("fork", err)
	}
	failed, err := readFailure(status[0])
	if err != nil {
		return pid, nil // end of file: execve has closed the pipe
	}
	return pid, p.describe(failed)
}

// describe turns the child's report into words.
func (p *program) describe(failed failure) error {
	errno := syscall.Errno(failed.errno)
	switch failed.step {
	case stepChdir:
		return &os.PathError{Op: "chdir", Path: unix.BytePtrToString(p.dir), Err: errno}
	case stepExecve:
		return startError(p.name, errno)
	case stepLimit, stepLimit + 1, stepLimit + 2, stepLimit + 3:
		return os.NewSyscallError("setrlimit "+limited[failed.step-stepLimit].name, errno)
	}
	return os.NewSyscallError(stepNames[failed.step], errno)
}
