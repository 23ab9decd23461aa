// Package wire holds the messages between the operator and the runner: the
// JSON of requests and replies, their bounds, and the closed sets of words in
// them. It does no I/O. docs/reference/runner-protocol.md describes them for
// people; testdata/wire holds one golden file a message, which this package
// and the Python client both test.
package wire

import "time"

// State of an execution inside the runner.
//
//	Accepted ──exec──> Running ──end──> Finished ──release──> (tombstone)
//	    └────────start failed───────────────┘
type State string

// The closed set of states.
const (
	Accepted State = "Accepted"
	Running  State = "Running"
	Finished State = "Finished"
)

// Outcome says why a run ended.
type Outcome string

// The closed set of outcomes.
const (
	Exited      Outcome = "Exited"      // the program ended by itself; exitCode is set
	Signaled    Outcome = "Signaled"    // a signal the runner did not send ended it
	TimedOut    Outcome = "TimedOut"    // timeoutSeconds passed
	Cancelled   Outcome = "Cancelled"   // DELETE, or the runner was shut down
	OOMKilled   Outcome = "OOMKilled"   // the kernel, or the runner's watchdog, ended it for memory
	DiskLimit   Outcome = "DiskLimit"   // it filled the workspace past its limit
	StartFailed Outcome = "StartFailed" // the program never ran
)

// Time is an instant in RFC 3339, UTC, with nanoseconds.
type Time struct{ time.Time }

// MarshalJSON writes the instant with all nine digits, so that every reply
// has the same shape.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format("2006-01-02T15:04:05.000000000Z") + `"`), nil
}

// Document is what the runner knows of one execution.
type Document struct {
	UID                  string         `json:"uid"`
	Attempt              int            `json:"attempt"`
	State                State          `json:"state"`
	AcceptedTime         Time           `json:"acceptedTime"`
	StartTime            *Time          `json:"startTime,omitempty"`
	CompletionTime       *Time          `json:"completionTime,omitempty"`
	DurationMilliseconds *int64         `json:"durationMilliseconds,omitempty"`
	Result               *Result        `json:"result,omitempty"`
	Usage                *Usage         `json:"usage,omitempty"`
	Output               *Outputs       `json:"output,omitempty"`
	Files                []CapturedFile `json:"files,omitempty"`
	FilesOmitted         int            `json:"filesOmitted,omitempty"`
	// FilesOmittedReason is there too when some may not have been found.
	FilesOmittedReason string `json:"filesOmittedReason,omitempty"`
	// ResultFile is there when the program made it; only when Finished.
	ResultFile *ResultFile `json:"resultFile,omitempty"`
}

// Result is the end of a run. ExitCode is set only for Exited; Signal for
// Signaled, and for the kills of the runner when a signal ended the program.
// OOMKills counts the processes of the whole pod that the kernel killed for
// memory during the run; absent too where it does not tell.
type Result struct {
	Outcome  Outcome `json:"outcome"`
	ExitCode *int    `json:"exitCode,omitempty"`
	Signal   string  `json:"signal,omitempty"`
	Message  string  `json:"message,omitempty"`
	OOMKills int64   `json:"oomKills,omitempty"`
	// LeftAtWork: what the program left behind still had work to do when it was
	// killed; its output may not be whole.
	LeftAtWork bool `json:"leftAtWork,omitempty"`
}

// Usage is what a run consumed. A figure the kernel does not give is absent,
// never zero. Shared says that another run overlapped: then the network
// figures, which are the pod's, are not this run's alone.
type Usage struct {
	CPUTimeMilliseconds int64  `json:"cpuTimeMilliseconds"`
	PeakMemoryBytes     int64  `json:"peakMemoryBytes"`
	DiskReadBytes       *int64 `json:"diskReadBytes,omitempty"`
	DiskWriteBytes      *int64 `json:"diskWriteBytes,omitempty"`
	NetworkRxBytes      *int64 `json:"networkRxBytes,omitempty"`
	NetworkTxBytes      *int64 `json:"networkTxBytes,omitempty"`
	Shared              bool   `json:"shared"`
}

// Outputs are the two streams of a run.
type Outputs struct {
	Stdout Stream `json:"stdout"`
	Stderr Stream `json:"stderr"`
}

// Stream describes one stream. Bytes and SHA256 cover all that the program
// wrote; StoredBytes of it can be read with GET …/output. Head is the first
// HeadBytes, Tail the last TailBytes beyond the head: together they are the
// whole when Bytes <= HeadBytes+TailBytes.
type Stream struct {
	Head        []byte `json:"head"`
	Tail        []byte `json:"tail"`
	Bytes       int64  `json:"bytes"`
	StoredBytes int64  `json:"storedBytes"`
	Truncated   bool   `json:"truncated"`
	SHA256      string `json:"sha256"`
}

// Sizes of the part of a stream that travels in a document.
const (
	HeadBytes = 32768
	TailBytes = 32768
)

// CapturedFile is a file of the workspace that matched captureFiles. Size is
// the file's; when Truncated, only a first part was kept and SHA256 is that
// part's.
type CapturedFile struct {
	Path      string `json:"path"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	Truncated bool   `json:"truncated,omitempty"`
}

// ResultFile is what the program left at SOULBOX_RESULT: whether that is JSON
// is for others to judge. With a Problem there is neither content nor hash, and
// Size is there only for TooLarge.
type ResultFile struct {
	Content []byte        `json:"content,omitempty"`
	Size    int64         `json:"size"`
	SHA256  string        `json:"sha256,omitempty"`
	Problem ResultProblem `json:"problem,omitempty"`
	Message string        `json:"message,omitempty"`
}

// ResultProblem is why what is there is no result.
type ResultProblem string

// The closed set of problems.
const (
	TooLarge   ResultProblem = "TooLarge"   // it is larger than MaxResultBytes, and was not read
	NotAFile   ResultProblem = "NotAFile"   // a link, directory, FIFO or socket, or a file with a second name
	Unreadable ResultProblem = "Unreadable" // it could not be read or kept; the message says why
)

// MaxResultBytes is the size of the largest result.
const MaxResultBytes = 64 << 10

// Features are what a runner can that the first ones could not, in the words
// of List: the operator asks a pod that was made before an upgrade for nothing
// else.
func Features() []string { return []string{"handler", "input", "resultFile"} }

// List is the reply of GET /v1/executions.
type List struct {
	Executions    []Document `json:"executions"`
	RunnerVersion string     `json:"runnerVersion"`
	PodUID        string     `json:"podUid"`
	Time          Time       `json:"time"`
	// PolicyUnseen: no code starts until the pod's network policy was seen in force.
	PolicyUnseen bool `json:"policyUnseen,omitempty"`
	// Features are what this runner can beyond the first release.
	Features []string `json:"features,omitempty"`
}

// EnforcementRequest is the body of POST /v1/enforcement: where the caller
// listens for a connection that the pod's policy forbids. The address must be
// the one the call comes from.
type EnforcementRequest struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
}

// Finding is what a look at the pod's network policy showed.
type Finding string

// The closed set of findings.
const (
	Connected  Finding = "Connected"  // the connection came about: the policy is not in force
	Blocked    Finding = "Blocked"    // it did not; the next call from the same address proves why
	PolicySeen Finding = "Seen"       // the policy is in force; code may start
	Translated Finding = "Translated" // the call came from another address than it says
	Untried    Finding = "Untried"    // the connection could not be tried; the message says why
)

// Enforcement is the reply of POST /v1/enforcement.
type Enforcement struct {
	Finding Finding `json:"finding"`
	Message string  `json:"message,omitempty"`
}

// Stats is the reply of GET /v1/stats. A figure that cannot be read is absent.
type Stats struct {
	Time                     Time     `json:"time"`
	CgroupVersion            int      `json:"cgroupVersion,omitempty"`
	CPUSecondsTotal          *float64 `json:"cpuSecondsTotal,omitempty"`
	MemoryBytes              *int64   `json:"memoryBytes,omitempty"`
	MemoryPeakBytes          *int64   `json:"memoryPeakBytes,omitempty"`
	MemoryUnreclaimableBytes *int64   `json:"memoryUnreclaimableBytes,omitempty"` // without the page cache
	MemoryLimitBytes         *int64   `json:"memoryLimitBytes,omitempty"`
	OOMKills                 *int64   `json:"oomKills,omitempty"`
	DiskUsedBytes            *int64   `json:"diskUsedBytes,omitempty"`
	DiskReadBytes            *int64   `json:"diskReadBytes,omitempty"`
	DiskWriteBytes           *int64   `json:"diskWriteBytes,omitempty"`
	NetworkRxBytes           *int64   `json:"networkRxBytes,omitempty"`
	NetworkTxBytes           *int64   `json:"networkTxBytes,omitempty"`
	NetworkRxPackets         *int64   `json:"networkRxPackets,omitempty"`
	NetworkTxPackets         *int64   `json:"networkTxPackets,omitempty"`
	Processes                *int64   `json:"processes,omitempty"`
	RunningExecutions        []string `json:"runningExecutions"`
}

// ErrorBody is the reply of every call that failed. TimeMilliseconds, the
// runner's clock, comes with 401 only, so that a caller with a wrong clock
// can sign again.
type ErrorBody struct {
	Error            ErrorDetail `json:"error"`
	TimeMilliseconds int64       `json:"timeMilliseconds,omitempty"`
}

// ErrorDetail has a code for programs and a message for people.
type ErrorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
