package launch

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/reap"
)

// TestMain makes the test binary a launcher too: Spawn starts /proc/self/exe.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "launch" {
		os.Exit(LauncherMain(nil))
	}
	os.Exit(m.Run())
}

// leak makes a pipe that a program would inherit.
func leak(t *testing.T) (fds [2]int) {
	t.Helper()
	if err := unix.Pipe2(fds[:], 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) })
	return fds
}

func isCloseOnExec(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.FD_CLOEXEC != 0
}

func refused(errno error) func(first, last, flags uint) error {
	return func(uint, uint, uint) error { return errno }
}

func TestEveryDescriptorIsMarked(t *testing.T) {
	for name, closeRange := range map[string]func(first, last, flags uint) error{
		"by the kernel":             unix.CloseRange,
		"no such call":              refused(unix.ENOSYS),
		"no such flag":              refused(unix.EINVAL),
		"forbidden in this sandbox": refused(unix.EPERM),
	} {
		streams := [3]bool{isCloseOnExec(t, 0), isCloseOnExec(t, 1), isCloseOnExec(t, 2)}
		fds := leak(t)
		if isCloseOnExec(t, fds[0]) || isCloseOnExec(t, fds[1]) {
			t.Fatalf("%s: the test leaks nothing", name)
		}
		if err := inheritNothing(closeRange, "/proc/self/fd"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !isCloseOnExec(t, fds[0]) || !isCloseOnExec(t, fds[1]) {
			t.Errorf("%s: a program would inherit the pipe", name)
		}
		if got := [3]bool{isCloseOnExec(t, 0), isCloseOnExec(t, 1), isCloseOnExec(t, 2)}; got != streams {
			t.Errorf("%s: 0, 1 and 2 were %v and are %v", name, streams, got)
		}
	}
}

func TestDescriptorsThatCannotBeFoundAreAnError(t *testing.T) {
	odd := t.TempDir()
	if err := os.WriteFile(filepath.Join(odd, "no number"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(odd, "nonexistent"), odd} {
		if inheritNothing(refused(unix.ENOSYS), dir) == nil {
			t.Errorf("no error for %s", dir)
		}
		if err := inheritNothing(func(uint, uint, uint) error { return nil }, dir); err != nil {
			t.Errorf("looked for although the kernel did it: %v", err)
		}
	}
}

// closeRangeEnv tells the test below, in a process of its own, what the kernel
// answers to close_range.
const closeRangeEnv = "SOULBOX_TEST_CLOSE_RANGE"

var closeRangeAnswers = map[string]syscall.Errno{"fine": 0, "ENOSYS": unix.ENOSYS, "EINVAL": unix.EINVAL, "EPERM": unix.EPERM}

// The whole way from the server, which leaks a pipe, to the program.
func TestProgramInheritsNothingWhateverCloseRangeSays(t *testing.T) {
	if answer, there := os.LookupEnv(closeRangeEnv); there {
		if errno := closeRangeAnswers[answer]; errno != 0 {
			refuseCloseRange(t, errno)
		}
		if got := listOfLaunched(t); got != "0 1 2 3" { // 3 is the directory that ls lists
			t.Errorf("the program has %s", got)
		}
		return
	}
	for answer := range closeRangeAnswers {
		command := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
		// With -race a process waits a second before it ends.
		command.Env = append(os.Environ(), closeRangeEnv+"="+answer, "GORACE=atexit_sleep_ms=0")
		if said, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", answer, err, said)
		}
	}
}

// listOfLaunched gives the descriptors of a program that a launcher started.
func listOfLaunched(t *testing.T) string {
	t.Helper()
	leak(t)
	reaper, err := reap.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = reaper.Start(context.Background()) }()
	launcher, err := Spawn(reaper, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := launcher.Run(makeSpec("ls", "/proc/self/fd")); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(launcher.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	launcher.KillNow()
	<-launcher.Child.Done()
	launcher.Close()
	return strings.Join(strings.Fields(string(raw)), " ")
}

// refuseCloseRange lets the call fail in this process and all below it, for
// good.
func refuseCloseRange(t *testing.T, errno syscall.Errno) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_CLOSE_RANGE},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // no_new_privs is the thread's; the filter takes it to the others
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program))); errno != 0 {
		t.Skipf("no seccomp filter can be set: %v", errno)
	}
	if err := unix.CloseRange(firstPrivate, lastPrivate, unix.CLOSE_RANGE_CLOEXEC); err != errno {
		t.Fatalf("the filter does nothing: %v", err)
	}
}
