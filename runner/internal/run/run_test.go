package run

import (
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// later gives an instant that the monotonic clock puts after t by elapsed,
// while the wall clock was set by step meanwhile. time.Time cannot be made so
// from outside; its layout is that of package time: a flag, 33 bits of seconds
// and 30 of nanoseconds in the first word, the monotonic clock in the second.
func later(t time.Time, elapsed, step time.Duration) time.Time {
	words := (*[2]uint64)(unsafe.Pointer(&t))
	words[1] += uint64(elapsed)
	words[0] += uint64(int64((elapsed+step)/time.Second)) << 30
	return t
}

func TestDurationDoesNotFollowTheWallClock(t *testing.T) {
	for name, step := range map[string]time.Duration{"still": 0, "back": -time.Hour, "ahead": time.Hour} {
		run := &Run{over: make(chan struct{})}
		start := time.Now()
		run.started(start)
		end := later(start, 5*time.Second, step)
		if got := end.Sub(start); got != 5*time.Second || end.Round(0).Sub(start.Round(0)) != 5*time.Second+step {
			t.Fatalf("%s: the test's own clock is wrong: %v", name, got)
		}
		run.endedAt(end)
		doc := run.doc
		if *doc.DurationMilliseconds != 5000 || doc.CompletionTime.Sub(doc.StartTime.Time) != 5*time.Second ||
			doc.CompletionTime.Round(0).Sub(doc.StartTime.Round(0)) != 5*time.Second {
			t.Errorf("%s: %d ms from %v to %v", name, *doc.DurationMilliseconds, doc.StartTime, doc.CompletionTime)
		}
	}
}

func newTestRun() *Run {
	return &Run{over: make(chan struct{}), stopped: make(chan struct{}), atOnce: make(chan struct{})}
}

func TestFirstCauseCounts(t *testing.T) {
	run := newTestRun()
	run.Stop(wire.TimedOut, "late")
	run.Stop(wire.Cancelled, "too late")
	if cause, text := run.endedAt(time.Now()); cause != wire.TimedOut || text != "late" {
		t.Errorf("%s, %s", cause, text)
	}
	run = newTestRun()
	run.endedAt(time.Now())
	run.Stop(wire.Cancelled, "after its end")
	if cause, _ := run.endedAt(time.Now()); cause != "" {
		t.Errorf("a cause after the end: %s", cause)
	}
	run = newTestRun()
	run.StopAtOnce(wire.OOMKilled, "")
	run.StopAtOnce(wire.OOMKilled, "")
	run.Stop(wire.Cancelled, "")
	select {
	case <-run.stopped:
		t.Error("SIGTERM would be sent")
	case <-run.atOnce:
	}
}

func TestEndIsNotedOnce(t *testing.T) {
	run := newTestRun()
	start := time.Now()
	run.started(start)
	run.endedAt(start.Add(time.Second))
	run.endedAt(start.Add(time.Minute))
	if *run.doc.DurationMilliseconds != 1000 {
		t.Errorf("%d ms", *run.doc.DurationMilliseconds)
	}
}

func TestCompletionIsToldWithTheResult(t *testing.T) {
	run := newTestRun()
	run.started(time.Now())
	run.endedAt(time.Now()) // its files are still being kept
	if doc := run.summary(); doc.State != wire.Running || doc.CompletionTime != nil || doc.DurationMilliseconds != nil {
		t.Errorf("%s, completed %v, %v ms", doc.State, doc.CompletionTime, doc.DurationMilliseconds)
	}
	run.doc.State = wire.Finished
	if doc := run.summary(); doc.CompletionTime == nil || doc.DurationMilliseconds == nil {
		t.Error("finished, and not completed")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("PATH", "")
	got := environment("/w", "/t", []wire.EnvVar{{Name: "A", Value: "1"}, {Name: "LANG", Value: "C"}, {Name: "A", Value: "2"}})
	want := []string{"PATH=" + defaultPath, "HOME=/w", "LANG=C", "TMPDIR=/t", "A=2"}
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %s, want %s", i, got[i], want[i])
		}
	}
}

func TestSignalName(t *testing.T) {
	for number, want := range map[int]string{9: "SIGKILL", 34: "SIGRTMIN", 35: "SIGRTMIN+1", 64: "SIGRTMIN+30", 33: "SIG33"} {
		if got := signalName(syscall.Signal(number)); got != want {
			t.Errorf("%d: %s, want %s", number, got, want)
		}
	}
}
