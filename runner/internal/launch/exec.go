package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostMemoryFirst is the oom_score_adj of programs: when the pod is out of
// memory, the kernel takes one of them and not the runner, even when each is
// smaller than the runner. Raising it needs no privilege.
const mostMemoryFirst = "1000"

// ExecMain is `soulbox-runner exec`: wait for a spec, take on its limits and
// become the program. It returns only when that failed.
func ExecMain() int {
	// The no_new_privs bit and Landlock belong to a thread and go along
	// with the one that calls execve.
	runtime.LockOSThread()
	unix.CloseOnExec(execSpec)
	unix.CloseOnExec(execStatus)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(mostMemoryFirst), 0)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // until execve, which sets it again

	raw, err := io.ReadAll(os.NewFile(execSpec, "spec"))
	if err != nil || len(raw) == 0 {
		return 0 // started ahead of time and not needed
	}
	status := os.NewFile(execStatus, "status")
	_, _ = status.Write([]byte{ready})
	var spec Spec
	if err := json.Unmarshal(raw, &spec); err != nil {
		fmt.Fprintf(status, "the launch spec cannot be read: %v", err)
		return 127
	}
	fmt.Fprint(status, become(&spec))
	return 127
}

// become returns only with the reason why it failed.
func become(spec *Spec) error {
	path, err := findProgram(spec)
	if err != nil {
		return err
	}
	if err := os.Chdir(spec.Dir); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
	}
	if spec.Landlock {
		confine(spec.Hidden)
	}
	if err := setLimits(spec); err != nil {
		return err
	}
	unix.Umask(0o022)
	// Nothing but 0, 1 and 2 is inherited, whatever the container runtime or
	// a library left open.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) {
		return os.NewSyscallError("close_range", err)
	}
	err = syscall.Exec(path, spec.Argv, spec.Env)
	return startError(spec, path, err)
}

func startError(spec *Spec, path string, err error) error {
	if errors.Is(err, unix.E2BIG) {
		return fmt.Errorf("%s: arguments and environment are too large for the kernel (one may have 128 KiB)", path)
	}
	return fmt.Errorf("%s: %w", path, err)
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

func setLimits(spec *Spec) error {
	for _, limit := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, spec.OpenFiles},
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, spec.FileSizeBytes},
		{"RLIMIT_NPROC", unix.RLIMIT_NPROC, spec.Processes},
	} {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(limit.resource, &now); err != nil {
			return os.NewSyscallError("getrlimit "+limit.name, err)
		}
		value := min(limit.value, now.Max)
		// syscall's own, not x/sys': Go raises RLIMIT_NOFILE at start and
		// puts the old one back at execve unless this function was used.
		if err := syscall.Setrlimit(limit.resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return os.NewSyscallError("setrlimit "+limit.name, err)
		}
	}
	return nil
}
