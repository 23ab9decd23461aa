//go:build linux && (amd64 || arm64)

package signals

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func info(signo, code, pid int32) []byte {
	raw := make([]byte, infoBytes)
	for at, value := range map[int]int32{0: signo, 8: code, 16: pid} {
		binary.NativeEndian.PutUint32(raw[at:], uint32(value))
	}
	return raw
}

func TestParseInfo(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		want bool
	}{
		"kill from outside the namespace": {info(15, 0, 0), true},
		"kill from inside":                {info(15, 0, 7), false},
		"the terminal":                    {info(2, 0x80, 0), true},
		"tgkill from inside":              {info(15, -6, 7), false},
		"a forged sender, sigqueue":       {info(15, -1, 0), false},
		"a timer":                         {info(15, -2, 0), false},
	} {
		if got := parseInfo(c.raw); got.outside != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// The handler is real: the process sends itself the signals.
func TestHandlerTellsTheSender(t *testing.T) {
	stops, err := Register()
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGTERM} {
		if err := unix.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		request, err := stops.next()
		if err != nil || request.name != unix.SignalName(sig) || request.pid != os.Getpid() || request.outside {
			t.Errorf("%v: %+v, %v", sig, request, err)
		}
	}
	for i := range 2000 { // far more than the pipe holds: none may block or end us
		if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
			t.Fatal(strconv.Itoa(i), err)
		}
	}
}

// queue sends siginfo, as sigqueue(3) does.
func queue(t *testing.T, sig unix.Signal, code int32) {
	t.Helper()
	raw := info(int32(sig), code, int32(os.Getpid()))
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(os.Getpid()), uintptr(sig), uintptr(unsafe.Pointer(&raw[0])))
	if errno != 0 {
		t.Fatal(sig, code, errno)
	}
}

func TestQueuedFaultsDoNothing(t *testing.T) {
	if _, err := Register(); err != nil {
		t.Fatal(err)
	}
	for _, sig := range faults {
		for _, code := range []int32{-1, -2, -3, -5, -60} { // SI_QUEUE, SI_TIMER, SI_MESGQ, SI_SIGIO, SI_ASYNCNL
			for range 50 {
				queue(t, sig, code)
			}
		}
		if err := unix.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARealFaultIsStillGos(t *testing.T) {
	if _, err := Register(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "nil pointer") {
			t.Errorf("recovered %v", err)
		}
	}()
	var nothing *[64]int
	nothing[i13()]++ //nolint:staticcheck // the fault is what is tested
	t.Error("no fault came")
}

//go:noinline
func i13() int { return 13 }

func TestStartIgnoresStopsFromInsideANamespace(t *testing.T) {
	queue := []stop{{"SIGTERM", 7, false}, {"SIGINT", 0, true}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for inNamespace, want := range map[bool]string{true: "SIGINT", false: "SIGTERM"} {
		rest := queue
		drained := make(chan string, 2)
		stops := &Stops{next: func() (stop, error) {
			if len(rest) == 0 {
				<-ctx.Done()
				return stop{}, ctx.Err()
			}
			first := rest[0]
			rest = rest[1:]
			return first, nil
		}}
		go func() {
			_ = stops.Start(inNamespace, slog.New(slog.DiscardHandler), func(reason string) { drained <- reason })
		}()
		select {
		case got := <-drained:
			if got != want {
				t.Errorf("in a namespace %v: %s", inNamespace, got)
			}
		case <-ctx.Done():
			t.Fatal("nothing drained")
		}
	}
}
