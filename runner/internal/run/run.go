package run

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/journal"
	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// stream is one stream of a run, live or read back from disk.
type stream interface {
	Document() wire.Stream
	Sizes() (total, stored int64)
	SaveEnds() error
}

// Run is one execution in the table. Its fields above the lock do not change
// after newRun.
type Run struct {
	key        Key
	bodySHA256 string
	dir        string // of its output
	stdout     stream
	stderr     stream
	done       chan struct{} // closed when Finished
	stopped    chan struct{} // closed by Stop
	atOnce     chan struct{} // closed by StopAtOnce
	over       chan struct{} // closed when the program itself is over
	slot       int           // the smallest that no other active run has
	diskBefore atomic.Int64  // bytes on disk for which it is not to blame
	gapBefore  atomic.Bool   // what lies there could not be measured before it either
	ownBytes   int64         // what was made for it there, and the slack

	mu         sync.Mutex
	program    *wire.Program // nil once it ended: code and files need their memory no more
	doc        wire.Document // without output
	cause      wire.Outcome  // why the runner ends it; empty while it does not
	causeText  string
	ended      bool // the program itself is over; a cause comes too late
	shared     bool
	launcher   int   // pid, 0 while there is none
	peakMemory int64 // sampled over all its processes
}

// Key names the run.
func (r *Run) Key() Key { return r.key }

// Done is closed when the run is Finished.
func (r *Run) Done() <-chan struct{} { return r.done }

// StreamPath is where a stream's stored bytes are.
func (r *Run) StreamPath(name string) string { return filepath.Join(r.dir, name) }

// FilePath is where a captured file's bytes are, or "" when there is none of
// that path.
func (r *Run) FilePath(path string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, file := range r.doc.Files {
		if file.Path == path {
			return output.FilePath(r.dir, i)
		}
	}
	return ""
}

// Sizes gives the bytes a stream has, and how many of them are stored.
func (r *Run) Sizes(name string) (total, stored int64) {
	if name == "stderr" {
		return r.stderr.Sizes()
	}
	return r.stdout.Sizes()
}

// State is where the run is in its life.
func (r *Run) State() wire.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.doc.State
}

// Document is all that is known now, output so far included.
func (r *Run) Document() wire.Document {
	doc := r.summary()
	if doc.StartTime != nil {
		doc.Output = &wire.Outputs{Stdout: r.stdout.Document(), Stderr: r.stderr.Document()}
	}
	if doc.ResultFile != nil {
		doc.ResultFile = output.ReadResult(r.dir, doc.ResultFile)
	}
	return doc
}

// summary is the document without output and the content of a result. The
// completion, which is known from the program's end on, is told with the
// outcome: pipes and files may take long after it, and to the operator a
// completion before Finished is a lie.
func (r *Run) summary() wire.Document {
	r.mu.Lock()
	defer r.mu.Unlock()
	doc := r.doc
	if doc.State != wire.Finished {
		doc.CompletionTime, doc.DurationMilliseconds, doc.ResultFile = nil, nil, nil
	}
	return doc
}

// record is what the journal keeps.
func (r *Run) record() journal.Record {
	return journal.Record{BodySHA256: r.bodySHA256, Document: r.summary()}
}

// Stop ends the run for a reason: SIGTERM, a second later SIGKILL. The first
// reason counts, and none counts once the program has ended by itself. Safe to
// repeat.
func (r *Run) Stop(cause wire.Outcome, text string) { r.stop(cause, text, r.stopped) }

// StopAtOnce is Stop without SIGTERM: there is no second left.
func (r *Run) StopAtOnce(cause wire.Outcome, text string) { r.stop(cause, text, r.atOnce) }

func (r *Run) stop(cause wire.Outcome, text string, tell chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.cause != "" {
		return
	}
	r.cause, r.causeText = cause, text
	close(tell)
}

func (r *Run) setLauncher(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.launcher = pid
}

func (r *Run) markShared() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared = true
}

// started notes the moment of execve. Not wall-clock alone: the duration is
// measured against the monotonic part that this Time carries.
func (r *Run) started(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doc.State = wire.Running
	r.doc.StartTime = &wire.Time{Time: at}
}

// endedAt notes the program's own end and returns the cause set before it.
// The completion is the start plus the monotonic duration, so that a step of
// the wall clock makes neither a negative nor a wrong duration.
func (r *Run) endedAt(now time.Time) (cause wire.Outcome, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		close(r.over)
		if r.doc.StartTime != nil {
			duration := now.Sub(r.doc.StartTime.Time)
			milliseconds := duration.Milliseconds()
			r.doc.DurationMilliseconds = &milliseconds
			r.doc.CompletionTime = &wire.Time{Time: r.doc.StartTime.Add(duration)}
		} else {
			r.doc.CompletionTime = &wire.Time{Time: now}
		}
	}
	return r.cause, r.causeText
}

// setResultFile notes what the program left as its result; it is told with the
// outcome.
func (r *Run) setResultFile(found *wire.ResultFile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doc.ResultFile = found
}
