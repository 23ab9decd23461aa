package launch

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func makeSpec(argv ...string) *Spec {
	return &Spec{
		Argv: argv, Env: []string{"PATH=/usr/bin:/bin", "GIVEN=yes"}, Dir: "/",
		Processes: 1 << 20, OpenFiles: 77, FileSizeBytes: 512 * 9,
	}
}

// run starts the spec's program and gives what it wrote and how it ended.
func run(t *testing.T, spec *Spec) (output string, status syscall.WaitStatus, err error) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	program, err := newProgram(spec, [3]int{int(null.Fd()), int(writer.Fd()), int(writer.Fd())}, nil, newFilter())
	if err != nil {
		_ = writer.Close()
		return "", 0, err
	}
	pid, startErr := program.start()
	_ = writer.Close()
	raw, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if pid > 0 {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	return string(raw), status, startErr
}

func TestChildIsTheProgramWithItsLimits(t *testing.T) {
	script := "ulimit -c; ulimit -n; ulimit -f; umask; pwd; echo $GIVEN; ls /proc/self/fd; exit 3"
	output, status, err := run(t, makeSpec("sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	want := "0 77 9 0022 / yes 0 1 2 3" // 3 is the directory that ls lists
	if got := strings.Join(strings.Fields(output), " "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if status.ExitStatus() != 3 {
		t.Errorf("exit status %d", status.ExitStatus())
	}
}

// The launcher has a handler for every signal; its child must not.
func TestChildHasNoHandlers(t *testing.T) {
	_, status, err := run(t, makeSpec("sh", "-c", "kill -USR1 $$"))
	if err != nil {
		t.Fatal(err)
	}
	if !status.Signaled() || status.Signal() != unix.SIGUSR1 {
		t.Errorf("status %v", status)
	}
}

func TestStepThatFailsIsNamed(t *testing.T) {
	lost := makeSpec("sh")
	lost.Dir = "/nonexistent"
	odd := makeSpec("sh", "a\x00b")
	for name, c := range map[string]struct {
		spec *Spec
		want string
	}{
		"directory":      {lost, "chdir /nonexistent: no such file or directory"},
		"program":        {makeSpec("/nonexistent"), "/nonexistent: no such file or directory"},
		"not executable": {makeSpec("/etc/passwd"), "/etc/passwd: permission denied"},
		"not in PATH":    {makeSpec("nonexistent"), `command "nonexistent" was not found in PATH "/usr/bin:/bin"`},
		"argument":       {makeSpec("sh", "-c", strings.Repeat("x", 200_000)), "too large for the kernel"},
		"NUL":            {odd, "invalid argument"},
	} {
		_, status, err := run(t, c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if status != 0 && status.ExitStatus() != 127 {
			t.Errorf("%s: the child's status is %v", name, status)
		}
	}
}

func TestManyForksAtOnce(t *testing.T) {
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 25 {
				if output, _, err := run(t, makeSpec("echo", "fine")); output != "fine\n" || err != nil {
					t.Fatalf("%q, %v", output, err)
				}
			}
		})
	}
}

func TestOrderArrivesWithItsDescriptors(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	content := strings.Repeat("spec", 300_000) // more than the socket holds
	go func() {
		_ = unix.Sendmsg(fds[0], orderHeader(orderTerm, 0), nil, nil, 0)
		_ = unix.Sendmsg(fds[0], orderHeader(orderRun, len(content)), unix.UnixRights(0, 1, 2), nil, 0)
		for rest := []byte(content); len(rest) > 0; {
			n, err := unix.Write(fds[0], rest)
			if err != nil {
				break
			}
			rest = rest[n:]
		}
		_ = unix.Close(fds[0])
	}()
	first, err := readOrder(fds[1])
	if err != nil || first.what != orderTerm || len(first.spec) != 0 || len(first.streams) != 0 {
		t.Errorf("%+v, %v", first, err)
	}
	second, err := readOrder(fds[1])
	if err != nil || second.what != orderRun || string(second.spec) != content || len(second.streams) != 3 {
		t.Errorf("%c, %d bytes, %v, %v", second.what, len(second.spec), second.streams, err)
	}
	for _, fd := range second.streams {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d is not close-on-exec: %v", fd, err)
		}
		_ = unix.Close(fd)
	}
	if _, err := readOrder(fds[1]); err == nil {
		t.Error("no error at the end")
	}
}
