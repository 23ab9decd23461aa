package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"time"
)

// MaxBodyBytes bounds a request body. The API allows 384 KiB of code, files
// and arguments together; JSON escapes a control character in six bytes.
const MaxBodyBytes = 4 << 20

// Bounds of a request. They are far above what the custom resources allow, so
// that only a broken or hostile caller meets them.
const (
	maxCommand          = 64
	maxArgs             = 4096
	maxFiles            = 1024
	maxEnv              = 1024
	maxCaptureFiles     = 64
	maxTimeoutSeconds   = 30 * 24 * 3600
	maxOutputLimitBytes = 4 << 30
	maxInputBytes       = 256 << 10
	maxHandlerName      = 128
)

// InvalidError names the field of a request that is wrong.
type InvalidError struct{ Field, Problem string }

func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Request is the body of PUT /v1/executions/{uid}/{attempt}.
type Request struct {
	Command      []string `json:"command"`
	Extension    string   `json:"extension,omitempty"`
	Code         string   `json:"code"`
	CodeEncoding string   `json:"codeEncoding,omitempty"`
	Files        []File   `json:"files,omitempty"`
	Args         []string `json:"args,omitempty"`
	// Stdin is the whole of standard input; absent: Input, or nothing.
	Stdin            *string   `json:"stdin,omitempty"`
	Env              []EnvVar  `json:"env,omitempty"`
	TimeoutSeconds   *float64  `json:"timeoutSeconds,omitempty"`
	OutputLimitBytes *int64    `json:"outputLimitBytes,omitempty"`
	CaptureFiles     []string  `json:"captureFiles,omitempty"`
	Limits           RunLimits `json:"limits,omitzero"`
	// Input is the text of a JSON document, for the file that SOULBOX_INPUT names.
	Input   *string  `json:"input,omitempty"`
	Handler *Handler `json:"handler,omitempty"`
}

// Handler is a function of the code: it is called with the input, and what it
// returns is the result.
type Handler struct {
	Name     string          `json:"name"`
	Language HandlerLanguage `json:"language"`
}

// HandlerLanguage says which program, in the place of the code, calls the
// handler: one that the command's interpreter can run.
type HandlerLanguage string

// The closed set of them.
const (
	Python HandlerLanguage = "python" // 3.8 or later
	Node   HandlerLanguage = "node"   // 18 or later
)

// File is written below the workspace before the program starts.
type File struct {
	Path     string `json:"path"`
	Content  string `json:"content"`
	Encoding string `json:"encoding,omitempty"`
	// Mode is the file's permission bits; absent: 0755 for a script (it begins
	// with #!), else 0644.
	Mode *uint32 `json:"mode,omitempty"`
}

// EnvVar is one variable of the program's environment.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// RunLimits become the program's resource limits. Zero means the default.
type RunLimits struct {
	Processes     int64 `json:"processes,omitempty"`
	OpenFiles     int64 `json:"openFiles,omitempty"`
	FileSizeBytes int64 `json:"fileSizeBytes,omitempty"`
}

// Defaults for what a request leaves out.
const (
	DefaultTimeout          = 300 * time.Second
	DefaultOutputLimitBytes = 10 << 20
	DefaultProcesses        = 128
	DefaultOpenFiles        = 1024
	DefaultFileSizeBytes    = 1 << 30
)

// Program is a request checked and decoded: what the runner will run.
type Program struct {
	Command          []string
	Extension        string
	Code             []byte
	Files            []DecodedFile
	Args             []string
	Stdin            string
	Env              []EnvVar
	Timeout          time.Duration
	OutputLimitBytes int64
	CaptureFiles     []string
	Limits           RunLimits
	Input            string   // "": none
	Handler          *Handler // nil: the code itself is the program
}

// DecodedFile is a File with its content as bytes and its path cleaned.
type DecodedFile struct {
	Path    string
	Content []byte
	Mode    fs.FileMode // permission bits
}

// ParseRequest reads a PUT body. Its errors are of type *InvalidError and name
// the field. A field it does not know is an error: silently leaving out what
// a newer caller asked for would be worse.
func ParseRequest(body []byte) (*Program, error) {
	var req Request
	if err := decodeStrictly(body, &req); err != nil {
		return nil, err
	}
	return req.check()
}

func decodeStrictly(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) && typeErr.Field != "" {
			return invalid(typeErr.Field, "must be %s, not a JSON %s", typeErr.Type, typeErr.Value)
		}
		return invalid("body", "%v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("body", "has data after the JSON object")
	}
	return nil
}

// ParseEnforcementRequest reads the body of POST /v1/enforcement. Errors as
// those of ParseRequest.
func ParseEnforcementRequest(body []byte) (netip.AddrPort, error) {
	var req EnforcementRequest
	if err := decodeStrictly(body, &req); err != nil {
		return netip.AddrPort{}, err
	}
	address, err := netip.ParseAddr(req.Address)
	if err != nil {
		return netip.AddrPort{}, invalid("address", "must be an IP address")
	}
	if req.Port == 0 {
		return netip.AddrPort{}, invalid("port", "must be a port")
	}
	return netip.AddrPortFrom(address, req.Port), nil
}

func (r *Request) check() (*Program, error) {
	p := &Program{
		Command: r.Command, Extension: r.Extension, Args: r.Args, Env: r.Env,
		CaptureFiles: r.CaptureFiles, Limits: r.Limits, Handler: r.Handler, Timeout: DefaultTimeout,
		OutputLimitBytes: DefaultOutputLimitBytes,
	}
	if err := checkWords("command", r.Command, maxCommand); err != nil {
		return nil, err
	}
	if len(r.Command) == 0 || r.Command[0] == "" {
		return nil, invalid("command", "must name the interpreter")
	}
	if err := checkWords("args", r.Args, maxArgs); err != nil {
		return nil, err
	}
	if !validExtension(r.Extension) {
		return nil, invalid("extension", "must be empty or a dot and up to 16 letters, digits, '.', '-' or '_'")
	}
	var err error
	if p.Code, err = decode("code", r.Code, "codeEncoding", r.CodeEncoding); err != nil {
		return nil, err
	}
	if p.Files, err = r.checkFiles(); err != nil {
		return nil, err
	}
	if err := r.checkEnv(); err != nil {
		return nil, err
	}
	if err := r.checkNumbers(p); err != nil {
		return nil, err
	}
	if err := r.checkInput(p); err != nil {
		return nil, err
	}
	if err := r.checkHandler(); err != nil {
		return nil, err
	}
	return p, r.checkCapture()
}
