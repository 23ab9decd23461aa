package reap

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func start(t *testing.T) *Reaper {
	t.Helper()
	r, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = r.Start(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

func spawn(t *testing.T, r *Reaper, script string) *Child {
	t.Helper()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c, err := r.Spawn("/bin/sh", []string{"sh", "-c", script}, os.Environ(), []uintptr{null.Fd(), null.Fd(), null.Fd()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wait(t *testing.T, c *Child) Exit {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the child was not collected")
	}
	return c.Exit()
}

func TestOrdinaryProcessGetsNoNamespace(t *testing.T) {
	if os.Getpid() == 1 {
		t.Skip("this is PID 1")
	}
	if DetectNamespace() != nil {
		t.Fatal("kill(-1) would have been allowed")
	}
}

// Never with the real kill(2): were the guard broken, the test would end the
// machine it is to protect.
func TestKillAllIsRefusedToAnOrdinaryProcess(t *testing.T) {
	if os.Getpid() == 1 {
		t.Skip("this is PID 1")
	}
	called := false
	record := func(int, unix.Signal) error { called = true; return nil }
	for _, n := range []*Namespace{nil, {}, {kill: record}} {
		n.killAll()
	}
	if called {
		t.Fatal("kill(-1) was allowed")
	}
}

func TestExitsAreGivenToTheirChild(t *testing.T) {
	r := start(t)
	children := map[int]*Child{}
	for code := range 20 {
		children[code] = spawn(t, r, "exit "+strconv.Itoa(code))
	}
	for code, child := range children {
		if exit := wait(t, child); exit.Status.ExitStatus() != code {
			t.Errorf("%d instead of %d", exit.Status.ExitStatus(), code)
		}
	}
}

func TestSignalReachesOnlyALivingChild(t *testing.T) {
	r := start(t)
	child := spawn(t, r, "sleep 60")
	child.Signal(unix.SIGKILL)
	if exit := wait(t, child); !exit.Status.Signaled() || exit.Status.Signal() != unix.SIGKILL {
		t.Errorf("%v", exit.Status)
	}
	child.Signal(unix.SIGKILL) // its pid may be another's by now
	if len(r.live) != 0 {
		t.Error("still in the table")
	}
}

func TestSweepKillsStraysAndSparesTheChildren(t *testing.T) {
	r := start(t)
	dir := t.TempDir()
	keeper := spawn(t, r, "sleep 60 & echo $! >"+dir+"/kept; wait")
	leaver := spawn(t, r, "setsid sh -c 'sleep 60 & echo $! >"+dir+"/stray; wait' & while [ ! -s "+dir+"/stray ]; do :; done")
	wait(t, leaver)
	kept, stray := pidIn(t, dir+"/kept"), pidIn(t, dir+"/stray")
	gone, _ := r.Sweep(5 * time.Second)
	if !gone {
		t.Fatal("strays are left")
	}
	if syscall.Kill(stray, 0) == nil {
		t.Error("the stray lives")
	}
	if syscall.Kill(kept, 0) != nil || syscall.Kill(keeper.PID(), 0) != nil {
		t.Error("a child, or its child, was killed")
	}
	keeper.Signal(unix.SIGKILL)
	wait(t, keeper)
	if gone, strays := r.Sweep(5 * time.Second); !gone || strays.Maxrss == 0 {
		t.Errorf("gone %v, strays %+v", gone, strays)
	}
	if syscall.Kill(kept, 0) == nil {
		t.Error("what the child left lives")
	}
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		raw, _ := os.ReadFile(path)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
			return pid
		}
		if time.Now().After(deadline) {
			t.Fatal("no pid in " + path)
		}
	}
}

func TestSpawnOfNothingIsAnError(t *testing.T) {
	r := start(t)
	if _, err := r.Spawn("/nonexistent", []string{"x"}, nil, nil); err == nil {
		t.Error("no error")
	}
}
