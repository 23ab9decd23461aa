package run

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/launch"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// Bounds of the end of a run. TermGrace is the API's promise; the others are
// guesses: each is many times what the step takes on a busy machine.
const (
	termGrace  = time.Second            // between SIGTERM and SIGKILL
	killGrace  = 2 * time.Second        // for the launcher to kill its run
	sweepLimit = 2 * time.Second        // for what a killed launcher left
	drainLimit = 2 * time.Second        // for the last bytes in the pipes
	trimAfter  = time.Second            // of rest, until memory is given back
	tidyLimit  = 500 * time.Millisecond // for removing the private TMPDIR
	// Hundreds of processes of a fork bomb, on a small part of a processor, take
	// seconds to die; after this they never will.
	patientSweep = 60 * time.Second
	firstPause   = 50 * time.Millisecond // between tries to make a process, doubled each time
	lastPause    = time.Second
	mostDeaths   = 20 // of fresh launchers, until the fault is elsewhere
)

// ending is what is known when no process of the run is left.
type ending struct {
	program  *syscall.WaitStatus // of the program itself; nil when the launcher died first
	launcher syscall.WaitStatus
	clean    bool // the launcher saw the last process of its run die
	usage    launch.Usage
	hasIO    bool
	// leftAtWork: what the program left was killed while it had work to do.
	leftAtWork bool
}

// supervise takes one run from Accepted to Finished.
func (m *Manager) supervise(run *Run) {
	m.occupied.RLock()
	stage := m.prepare(run)
	if stage.err != nil {
		stage.tidy()
		m.leave(run, &wire.Result{Outcome: wire.StartFailed, Message: stage.err.Error()}, nil)
		m.afterFinish(run, nil, nil)
		return
	}
	start := m.countersNow()
	launcher, err := m.startProgram(run, stage.spec(run, m))
	if err != nil {
		stage.tidy()
		m.leave(run, startFailure(run, err), nil)
		m.afterFinish(run, nil, nil)
		return
	}
	run.started(time.Now())
	pipes := copyStreams(run, launcher)
	go feed(launcher.Stdin, run.program.Stdin)
	go m.watchMemory(run)
	go m.watchDisk(run)
	if err := m.journal.Write(run.record()); err != nil {
		m.log.Error("start not journalled", "execution", run.key.String(), "error", err)
	}

	end := m.follow(run, launcher, pipes)
	run.setLauncher(0)
	if !end.clean {
		m.sweep(run, end)
	}
	select {
	case <-pipes:
	case <-time.After(drainLimit):
	}
	fit := launcher.Rest() // ends a copy whose pipe is still held open somewhere
	<-pipes
	run.setResultFile(stage.takeResult(run.dir))
	stage.tidy()
	if len(run.program.CaptureFiles) > 0 {
		m.capture(run)
	}
	if fit && m.keep(launcher) {
		launcher = nil // whoever comes next may have it already
	}
	m.leave(run, m.judge(run, end, start), m.account(run, end, start))
	m.afterFinish(run, launcher, end)
}

// leave finishes the run, and scrubs what it left when it was the last. The
// next one is kept from beginning before its end is told, and waits then.
func (m *Manager) leave(run *Run, result *wire.Result, usage *wire.Usage) {
	m.occupied.RUnlock()
	last := m.occupied.TryLock()
	m.finish(run, result, usage)
	if last {
		if !m.config.OneShot {
			m.scrub()
		}
		m.occupied.Unlock()
	}
}

// startFailure is the result when the program never ran: perhaps because it
// was cancelled first.
func startFailure(run *Run, err error) *wire.Result {
	cause, text := run.endedAt(time.Now())
	if cause != "" {
		return &wire.Result{Outcome: cause, Message: text}
	}
	return &wire.Result{Outcome: wire.StartFailed, Message: err.Error()}
}

var errStopped = errors.New("ended before it was started")

// startProgram hands the spec to a launcher. One that waited may have died
// since: then the program has not begun, and a fresh launcher gets its turn.
// While other runs leave no room for a process it is tried again, for as long
// as the program itself may take.
func (m *Manager) startProgram(run *Run, spec *launch.Spec) (*launch.Launcher, error) {
	begin, pause := time.Now(), firstPause
	for fresh, deaths := false, 0; ; {
		select {
		case <-run.stopped:
			return nil, errStopped
		default:
		}
		launcher, err := m.tryStart(run, spec, fresh)
		if err == nil {
			return launcher, nil
		}
		var failed *launch.StartError
		noRoom := errors.As(err, &failed) && failed.NoRoom
		died := errors.Is(err, launch.ErrNotReady)
		switch {
		case died && !fresh:
			fresh = true
			continue
		case died && deaths < mostDeaths: // as a Go program does that finds no room for its threads
			deaths++
		case !noRoom:
			return nil, err
		case time.Since(begin) > run.program.Timeout:
			return nil, fmt.Errorf("no process could be made for it within %v (%w): the sandbox has as much as its node allows, "+
				"and other executions hold it", run.program.Timeout, err)
		}
		select {
		case <-run.stopped:
			return nil, errStopped
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		}
	}
}

// tryStart is one try.
func (m *Manager) tryStart(run *Run, spec *launch.Spec, fresh bool) (*launch.Launcher, error) {
	launcher := m.takeWarm()
	if launcher == nil || fresh {
		m.discard(launcher)
		var err error
		if launcher, err = launch.Spawn(m.reaper, m.config.Seccomp); err != nil {
			return nil, err
		}
	}
	run.setLauncher(launcher.Child.PID())
	err := launcher.Run(spec)
	if err == nil {
		return launcher, nil
	}
	// Another run may have this launcher next: its processes are none of this one's.
	run.setLauncher(0)
	if !launcher.Rest() || !m.keep(launcher) {
		m.discard(launcher)
		m.reaper.Sweep(sweepLimit)
	}
	return nil, err
}

// discard ends a launcher that has no program, and waits for it.
func (m *Manager) discard(launcher *launch.Launcher) {
	if launcher == nil {
		return
	}
	launcher.Kill()
	m.awaitExit(launcher)
	launcher.Close()
}

// awaitExit waits for a launcher that is about to exit, and not for ever: a
// program may have stopped it.
func (m *Manager) awaitExit(launcher *launch.Launcher) {
	select {
	case <-launcher.Child.Done():
	case <-time.After(killGrace):
		launcher.KillNow()
		<-launcher.Child.Done()
	}
}

func feed(stdin *os.File, text string) {
	_, _ = stdin.WriteString(text) // EPIPE: the program does not want it
	_ = stdin.Close()
}

// follow waits for the end of the run and makes it come when it must: on
// timeout, cancel and limits SIGTERM, then SIGKILL to the tree, then to the
// launcher, should the program have stopped or killed it.
//
//	running ──stop──> TERM sent ──1 s──> KILL sent ──2 s──> launcher killed
//	   └──program ended──grace──> launcher kills the rest ──2 s───┘
//
// Timers of Go run on the monotonic clock.
func (m *Manager) follow(run *Run, launcher *launch.Launcher, pipes <-chan struct{}) *ending {
	end := &ending{}
	var rest grace
	defer rest.stop()
	timeout := time.NewTimer(run.program.Timeout)
	defer timeout.Stop()
	stopped, atOnce := run.stopped, run.atOnce
	var escalate <-chan time.Time
	next := func() {}
	kill := func() { escalate, next = time.After(killGrace), launcher.KillNow }
	endRest := func() { rest.stop(); launcher.End(); kill() }
	events := launcher.Events()
	for events != nil {
		select {
		case event, open := <-events:
			switch {
			case !open:
				events = nil
			case event.Status != nil:
				cause, _ := run.endedAt(time.Now())
				end.program = event.Status
				stopped, atOnce, escalate = nil, nil, nil
				if event.Kind == launch.EventExit && cause == "" {
					rest.begin(pipes)
				} else if event.Kind == launch.EventExit {
					endRest()
				}
			}
			if event.Kind == launch.EventDone && event.Usage != nil {
				// No process of the run is left: package reap says why that
				// is certain.
				end.usage, end.hasIO, end.clean = *event.Usage, event.Usage.IO != nil, end.program != nil
				if end.clean {
					return end
				}
			}
		case <-timeout.C:
			run.Stop(wire.TimedOut, "the program ran longer than "+run.program.Timeout.String())
		case <-stopped:
			stopped = nil
			launcher.Terminate()
			escalate, next = time.After(termGrace), func() { launcher.Kill(); kill() }
		case <-atOnce:
			stopped, atOnce = nil, nil
			launcher.Kill()
			kill()
		case <-rest.pipes:
			endRest()
		case <-rest.look:
			if over, atWork := rest.isOver(m, run); over {
				end.leftAtWork = atWork
				endRest()
			}
		case <-escalate:
			escalate = nil
			next()
		}
	}
	launcher.KillNow() // it closed its socket without a word: it is gone, or as good as
	<-launcher.Child.Done()
	run.endedAt(time.Now())
	exit := launcher.Child.Exit()
	end.launcher, end.usage = exit.Status, launch.UsageOf(&exit.Rusage)
	return end
}

// sweep kills what outlived a launcher that was killed itself.
func (m *Manager) sweep(run *Run, end *ending) {
	m.giveUpWarm()
	gone, strays := m.reaper.Sweep(patientSweep)
	if !gone {
		// A program that lives on is beyond its limits and its bill: the pod has to end.
		m.log.Error("processes of a run could not be killed", "execution", run.key.String())
		m.Drain("processes of an execution could not be killed")
	}
	more := launch.UsageOf(&strays)
	end.usage.CPUMicroseconds += more.CPUMicroseconds
	end.usage.MaxRSSBytes = max(end.usage.MaxRSSBytes, more.MaxRSSBytes)
}

// finish makes the result durable and then visible.
func (m *Manager) finish(run *Run, result *wire.Result, usage *wire.Usage) {
	run.endedAt(time.Now())
	for _, s := range []stream{run.stdout, run.stderr} {
		if err := s.SaveEnds(); err != nil {
			m.log.Warn("ends of output not saved", "execution", run.key.String(), "error", err)
		}
	}
	result.Message = cut(result.Message)
	run.mu.Lock()
	run.doc.Result, run.doc.Usage = result, usage
	run.doc.State = wire.Finished
	run.mu.Unlock()
	record := run.record()
	if record.Document.StartTime != nil {
		record.Document.Output = run.Document().Output
	}
	if err := m.journal.Write(record); err != nil {
		// It stays in memory, from where it can be read and released.
		m.log.Error("result not journalled", "execution", run.key.String(), "error", err)
	}
	m.diskStale.Store(true)
	switch result.Outcome {
	case wire.DiskLimit:
		m.rebaseDisk(m.activeRuns()...)
	case wire.OOMKilled:
		now := time.Now()
		m.memoryKill.Store(&now)
	}
	m.mu.Lock()
	delete(m.active, run.key)
	m.mu.Unlock()
	close(run.done)
	m.log.Info("finished", "execution", run.key.String(), "outcome", string(result.Outcome))
}

// afterFinish is off the critical path: the result can be read already, and
// the next run may have begun.
func (m *Manager) afterFinish(run *Run, launcher *launch.Launcher, end *ending) {
	run.mu.Lock()
	run.program = nil
	run.mu.Unlock()
	m.discard(launcher)
	if end != nil && end.clean && m.reaper.Strangers() {
		m.sweep(run, end) // someone entered from outside
	}
	if m.config.OneShot {
		time.AfterFunc(m.config.OneShotLinger, m.requestExit)
		return
	}
	m.warmUp()
	m.trim.Reset(trimAfter)
	if m.config.DiskLimitBytes > 0 && m.diskStale.Load() {
		m.rebaseDisk()
	}
}
