package run

import (
	"context"
	"os"
	"testing"

	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/reap"
)

// TestMain makes the test binary a launcher too: Spawn starts /proc/self/exe.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "launch" {
		os.Exit(launch.LauncherMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// While one run waits to be tried again, the next may have its launcher.
func TestRunThatDidNotStartHasNoProcesses(t *testing.T) {
	reaper, err := reap.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = reaper.Start(context.Background()) }()
	m := newTestManager(t, t.TempDir())
	m.reaper, m.config.MaxConcurrent = reaper, 1
	t.Cleanup(func() { m.discard(m.takeWarm()) })
	run := newTestRun()
	spec := &launch.Spec{
		Argv: []string{"/no/such/program"}, Dir: "/", Processes: 1 << 20, OpenFiles: 64, FileSizeBytes: 1 << 20,
	}
	if _, err := m.tryStart(run, spec, false); err == nil {
		t.Fatal("it was started")
	}
	if len(m.warm) != 1 {
		t.Error("the launcher was not kept")
	}
	if run.launcher != 0 {
		t.Error("the run still has the launcher")
	}
}
