package run

import (
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/proc"
)

// A program's last output may go through a child of its own, such as the
// `tee` of `exec > >(tee log)`, which needs a moment after the program's end.
// So what holds an output pipe then is let be for a grace. A daemon that
// waits for something is idle and is killed after graceIdle; what still has
// work to do (on a slow node, or held back by the CPU limit) gets graceBusy.
// Guesses: a shell's pipeline took 1 to 5 ms, under the load of eight others 60.
const (
	graceIdle = 200 * time.Millisecond
	graceBusy = 2 * time.Second
	graceLook = 20 * time.Millisecond
	// graceMost processes are left by a pipeline; by a fork bomb more.
	graceMost = 32
)

// grace waits between the end of a program and the kill of what it left. Its
// channels are nil while there is nothing to wait for.
type grace struct {
	pipes  <-chan struct{} // closed when both pipes are at their end
	look   <-chan time.Time
	ticker *time.Ticker
	begun  time.Time
	last   time.Time // when something was last seen to move
	bytes  int64
}

func (g *grace) begin(pipes <-chan struct{}) {
	g.pipes, g.ticker = pipes, time.NewTicker(graceLook)
	g.look, g.begun, g.last = g.ticker.C, time.Now(), time.Now()
}

func (g *grace) stop() {
	if g.ticker != nil {
		g.ticker.Stop()
	}
	g.pipes, g.look, g.ticker = nil, nil, nil
}

// isOver tells, at each look, whether the run's other processes have had
// their time, and whether they were at work to the last.
func (g *grace) isOver(m *Manager, run *Run) (over, atWork bool) {
	now := time.Now()
	bytes := int64(0)
	for _, s := range []stream{run.stdout, run.stderr} {
		total, _ := s.Sizes()
		bytes += total
	}
	left := run.processes()
	if len(left) > graceMost {
		return true, true
	}
	if bytes != g.bytes || proc.AnyRuns(left) {
		g.bytes, g.last = bytes, now
	}
	if now.Sub(g.last) >= graceIdle {
		return true, false
	}
	return now.Sub(g.begun) >= graceBusy || m.isMemoryShort(), true
}

// copyStreams reads both pipes; the channel is closed when both have ended.
func copyStreams(run *Run, launcher *launch.Launcher) <-chan struct{} {
	ended := make(chan struct{}, 2)
	both := make(chan struct{})
	go func() { run.stdout.(*output.Stream).Copy(launcher.Stdout); ended <- struct{}{} }()
	go func() {
		run.stderr.(*output.Stream).Copy(launcher.Stderr)
		<-ended
		close(both)
	}()
	return both
}
