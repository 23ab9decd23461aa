package run

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/soulbox-dev/soulbox/runner/internal/journal"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
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
	return &Run{
		bodySHA256: strings.Repeat("0", 64),
		over:       make(chan struct{}), stopped: make(chan struct{}), atOnce: make(chan struct{}),
	}
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
	if doc := run.doc; *doc.DurationMilliseconds != 1000 {
		t.Errorf("%d ms", *doc.DurationMilliseconds)
	}
}

// newTestManager opens the journal in dir and takes up what is there.
func newTestManager(t *testing.T, dir string) *Manager {
	t.Helper()
	j, records, err := journal.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	m := &Manager{
		config: Config{OutputDir: dir}, journal: j, log: slog.New(slog.DiscardHandler),
		runs: map[Key]*Run{}, active: map[Key]*Run{},
	}
	for _, record := range records {
		if err := m.recover(record); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// Between the program's end and the result come pipes, files and the journal,
// and a caller that reads meanwhile.
func TestCompletionIsToldWithTheResult(t *testing.T) {
	start := time.Now()
	for name, state := range map[string]wire.State{"that ran": wire.Running, "that did not start": wire.Accepted} {
		dir := t.TempDir()
		m := newTestManager(t, dir)
		run := newTestRun()
		run.key, run.done, run.dir = Key{UID: "a", Attempt: 1}, make(chan struct{}), dir
		run.doc = wire.Document{UID: "a", Attempt: 1, State: wire.Accepted, AcceptedTime: wire.Time{Time: start}}
		run.stdout = output.NewStream(run.StreamPath("stdout"), 1000, nil)
		run.stderr = output.NewStream(run.StreamPath("stderr"), 1000, nil)
		m.runs[run.key], m.active[run.key] = run, run
		told := func() map[string]wire.Document {
			return map[string]wire.Document{"GET": run.Document(), "list": m.List()[0], "journal": run.record().Document}
		}

		if state == wire.Running {
			run.started(start)
		}
		run.endedAt(start.Add(time.Second))
		for where, doc := range told() {
			if doc.State != state || doc.CompletionTime != nil || doc.DurationMilliseconds != nil {
				t.Errorf("a run %s, %s: %s with a completion %v before its result", name, where, doc.State, doc.CompletionTime)
			}
		}
		if err := m.journal.Write(run.record()); err != nil {
			t.Fatal(err)
		}
		crashed := newTestManager(t, dir).List()[0]
		if crashed.State != wire.Finished || crashed.CompletionTime == nil || crashed.Result == nil ||
			(crashed.DurationMilliseconds != nil) != (state == wire.Running) {
			t.Errorf("a run %s, after a crash: %+v", name, crashed)
		}

		m.finish(run, &wire.Result{Outcome: wire.Signaled, Signal: "SIGKILL"}, nil)
		docs := told()
		docs["after a restart"] = newTestManager(t, dir).List()[0]
		for where, doc := range docs {
			if doc.State != wire.Finished || doc.CompletionTime == nil || !doc.CompletionTime.Equal(start.Add(time.Second)) {
				t.Errorf("a run %s, %s: %s at %v", name, where, doc.State, doc.CompletionTime)
			}
			if took := doc.DurationMilliseconds; (took != nil) != (state == wire.Running) || took != nil && *took != 1000 {
				t.Errorf("a run %s, %s: a wrong duration", name, where)
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	m := &Manager{config: Config{Workspace: "/w"}}
	for name, c := range map[string]struct {
		own, want, wantNot []string
		given, files       []wire.EnvVar
	}{
		"defaults": {
			want: []string{"PATH=" + defaultPath, "LANG=C.UTF-8", "TERM=dumb", "HOME=/w", "USER=sandbox", "LOGNAME=sandbox",
				"TMPDIR=/t", "PYTHONDONTWRITEBYTECODE=1"},
		},
		"the image's ENV": {
			own: []string{"PATH=/opt/bin:/bin", "JAVA_HOME=/opt/jdk", "LANG=de_DE.UTF-8", "HOME=/root", "USER=app", "TMPDIR=/x", "EMPTY=",
				"PYTHONDONTWRITEBYTECODE="},
			want: []string{"PATH=/opt/bin:/bin", "JAVA_HOME=/opt/jdk", "LANG=de_DE.UTF-8", "HOME=/w", "USER=sandbox", "TMPDIR=/t", "EMPTY=",
				"PYTHONDONTWRITEBYTECODE="},
		},
		"what is not the image's": {
			own: []string{"SOULBOX_PUBLIC_KEYS=k", "SOULBOX_POD_UID=u", "KUBERNETES_SERVICE_HOST=10.0.0.1", "HOSTNAME=pod", "PWD=/",
				"PATH=", "no assignment", "=C:"},
			want: []string{"PATH=" + defaultPath},
			wantNot: []string{"SOULBOX_PUBLIC_KEYS", "SOULBOX_POD_UID", "KUBERNETES_SERVICE_HOST", "HOSTNAME", "PWD",
				"no assignment", ""},
		},
		"the request's": {
			own:   []string{"JAVA_HOME=/opt/jdk"},
			given: []wire.EnvVar{{Name: "A", Value: "1"}, {Name: "HOME", Value: "/h"}, {Name: "JAVA_HOME", Value: "/j"}, {Name: "A", Value: "2"}},
			want:  []string{"HOME=/h", "JAVA_HOME=/j", "A=2"},
		},
		"the run's files": {
			own:     []string{"SOULBOX_INPUT=/image", "SOULBOX_RESULT=/image"},
			given:   []wire.EnvVar{{Name: "SOULBOX_INPUT", Value: "/given"}, {Name: "SOULBOX_RESULT", Value: "/given"}},
			files:   []wire.EnvVar{{Name: "SOULBOX_RESULT", Value: "/t/result"}},
			want:    []string{"SOULBOX_RESULT=/t/result"},
			wantNot: []string{"SOULBOX_INPUT"},
		},
	} {
		got := m.environment(c.own, "/t", c.given, c.files...)
		for _, entry := range c.want {
			if !slices.Contains(got, entry) {
				t.Errorf("%s: %s is not in %q", name, entry, got)
			}
		}
		seen := map[string]bool{}
		for _, entry := range got {
			variable, _, _ := strings.Cut(entry, "=")
			if seen[variable] || slices.Contains(c.wantNot, variable) {
				t.Errorf("%s: %s", name, entry)
			}
			seen[variable] = true
		}
	}
}

func TestThreadsFollowTheCPULimit(t *testing.T) {
	for _, c := range []struct {
		millicores    int64
		machine, want int
	}{{0, 8, 0}, {250, 64, 1}, {1000, 64, 1}, {1001, 64, 2}, {4000, 4, 0}, {8000, 4, 0}, {500, 1, 0}} {
		if got := threadsFor(c.millicores, c.machine); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	m := &Manager{config: Config{CPULimitMillicores: 1}}
	if runtime.NumCPU() == 1 {
		t.Skip("one CPU is no more than the limit")
	}
	env := m.environment([]string{"GOMAXPROCS=3"}, "/t", []wire.EnvVar{{Name: "OMP_NUM_THREADS", Value: "2"}})
	for _, want := range []string{"GOMAXPROCS=3", "OMP_NUM_THREADS=2", "RAYON_NUM_THREADS=1", "PYTHON_CPU_COUNT=1"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %q", want, env)
		}
	}
}

func TestSlotsAreTheSmallestFreeOnes(t *testing.T) {
	m := &Manager{active: map[Key]*Run{}}
	names := func(slot int) string {
		run := &Run{slot: slot, program: &wire.Program{Extension: ".py"}}
		m.active[Key{UID: fmt.Sprint(slot)}] = run
		return run.codeName()
	}
	for _, want := range []string{".soulbox-main.py", ".soulbox-main-2.py", ".soulbox-main-3.py"} {
		if got := names(m.freeSlot()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	delete(m.active, Key{UID: "1"})
	if got := m.freeSlot(); got != 1 {
		t.Errorf("slot %d, want 1", got)
	}
}

func TestSignalName(t *testing.T) {
	for number, want := range map[int]string{9: "SIGKILL", 34: "SIGRTMIN", 35: "SIGRTMIN+1", 64: "SIGRTMIN+30", 33: "SIG33"} {
		if got := signalName(syscall.Signal(number)); got != want {
			t.Errorf("%d: %s, want %s", number, got, want)
		}
	}
}
