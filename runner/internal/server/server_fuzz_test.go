package server

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/journal"
	"github.com/soulbox-dev/soulbox/runner/internal/reap"
	"github.com/soulbox-dev/soulbox/runner/internal/run"
	"github.com/soulbox-dev/soulbox/runner/internal/sign"
	"github.com/soulbox-dev/soulbox/runner/internal/stats"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

const (
	podUID = "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e"
	// It stands in every file beside those that may be asked for.
	secret = "what nobody may be given"
)

var key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// world is a server with one finished execution "a", which wrote "output\n" to stdout and left
// the files "x" and "d/y". It has no room for another: what the fuzzer makes up is never run.
type world struct {
	dir     string
	manager *run.Manager
	server  *Server
}

func newWorld(t testing.TB, parent string) *world {
	dir, err := os.MkdirTemp(parent, "")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: dir}
	write := func(content string, parts ...string) {
		name := filepath.Join(append([]string{dir}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, beside := range []string{"output/a.1/file-2", "output/b.1/result", "output/b.1/stdout", "output/stdout", "workspace/x", "state/key", "key"} {
		write(secret, strings.Split(beside, "/")...)
	}
	write("output\n", "output", "a.1", "stdout")
	write("", "output", "a.1", "stderr")
	write("[1]", "output", "a.1", "result")
	write("file x", "output", "a.1", "file-0")
	write("file y", "output", "a.1", "file-1")
	book, _, err := journal.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	at, code := wire.Time{Time: time.Unix(1, 0)}, 0
	digest := func(text string) string { sum := sha256.Sum256([]byte(text)); return hex.EncodeToString(sum[:]) }
	err = book.Write(journal.Record{BodySHA256: digest("{}"), Document: wire.Document{
		UID: "a", Attempt: 1, State: wire.Finished, AcceptedTime: at, StartTime: &at, CompletionTime: &at,
		Result:     &wire.Result{Outcome: wire.Exited, ExitCode: &code},
		Output:     &wire.Outputs{Stdout: wire.Stream{Bytes: 7, StoredBytes: 7, SHA256: digest("output\n")}, Stderr: wire.Stream{SHA256: digest("")}},
		Files:      []wire.CapturedFile{{Path: "x", Size: 6, SHA256: digest("file x")}, {Path: "d/y", Size: 6, SHA256: digest("file y")}},
		ResultFile: &wire.ResultFile{Size: 3, SHA256: digest("[1]")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_ = book.Close()
	reaper, err := reap.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.manager, err = run.New(run.Config{
		Workspace: filepath.Join(dir, "workspace"), StateDir: filepath.Join(dir, "state"),
		OutputDir: filepath.Join(dir, "output"), TmpDir: filepath.Join(dir, "tmp"),
		MaxConcurrent: 0, MaxUnreleased: 4, DrainTimeout: time.Hour,
	}, reaper, stats.OpenCgroup("/nonexistent", ""), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	public := key.Public().(ed25519.PublicKey)
	w.server = New(Options{
		Manager: w.manager, Verifier: sign.NewVerifier(sign.Keys{sign.KeyID(public): public}, podUID, time.Now),
		Stats: func() wire.Stats { return wire.Stats{Time: wire.Time{Time: time.Now()}} },
		Log:   slog.New(slog.DiscardHandler), Version: "test", PodUID: podUID, Now: time.Now,
	})
	return w
}

// scratch is on a tmpfs where there is one.
func scratch(f *testing.F) string {
	parent := "/dev/shm"
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "soulbox-fuzz-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) end() {
	w.manager.Close()
	_ = os.RemoveAll(w.dir)
}

var nonces uint64

func signedHeader(method, target string, body []byte) http.Header {
	nonces++
	stamp, nonce := strconv.FormatInt(time.Now().UnixMilli(), 10), fmt.Sprintf("%032x", nonces)
	signature := ed25519.Sign(key, sign.Message(method, target, body, podUID, stamp, nonce))
	return http.Header{
		sign.HeaderKeyID: {sign.KeyID(key.Public().(ed25519.PublicKey))}, sign.HeaderTime: {stamp},
		sign.HeaderNonce: {nonce}, sign.HeaderSignature: {base64.StdEncoding.EncodeToString(signature)},
	}
}

var calls = []struct{ method, target, body string }{
	{"GET", "/healthz", ""}, {"GET", "/v1/executions", ""}, {"GET", "/v1/executions/a/1", ""},
	{"GET", "/v1/executions/a/1?wait=1s", ""}, {"GET", "/v1/executions/a/1?wait=9999999h", ""},
	{"PUT", "/v1/executions/a/1", "{}"}, {"PUT", "/v1/executions/b/1?wait=-1s", "{}"},
	{"PUT", "/v1/executions/b/1", `{"command":["true"],"code":"","input":"1","handler":{"name":"a","language":"node"}}`},
	{"GET", "/v1/executions/a/1/files/../result", ""}, {"GET", "/v1/executions/a/1/output/result", ""},
	{"PUT", "/v1/executions/b/1", `{"command":["true"],"code":""}`}, {"PUT", "/v1/executions/b/1", `{"command":[]}`},
	{"DELETE", "/v1/executions/a/1", ""}, {"POST", "/v1/executions/a/1/release", ""},
	{"GET", "/v1/executions/a/1/output/stdout?offset=3", ""}, {"GET", "/v1/executions/a/1/output/stderr", ""},
	{"GET", "/v1/executions/a/1/output/stdout?offset=9223372036854775807", ""},
	{"GET", "/v1/executions/a/1/output/stdout?offset=-1", ""},
	{"GET", "/v1/executions/a/1/output/..%2f..%2fb.1%2fstdout", ""},
	{"GET", "/v1/executions/a/1/files/x", ""}, {"GET", "/v1/executions/a/1/files/d/y?offset=2", ""},
	{"GET", "/v1/executions/a/1/files/d%2Fy", ""}, {"GET", "/v1/executions/a/1/files/../../../key", ""},
	{"GET", "/v1/executions/a/1/files/%2e%2e/%2e%2e/key", ""}, {"GET", "/v1/executions/..%2f/1", ""},
	{"GET", "/v1/executions/a/01", ""}, {"GET", "/v1/executions/a/99999999999999999999", ""},
	{"GET", "//v1//executions/./a/1", ""}, {"GET", "http://elsewhere/v1/stats", ""}, {"GET", "/v1/stats", ""},
	{"POST", "/v1/shutdown", ""}, {"OPTIONS", "*", ""}, {"CONNECT", "a:1", ""},
}

var errorCode = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// Whatever its operator asks, even a mad one: the reply keeps the contract, and no path leads to
// another file.
func FuzzSigned(f *testing.F) {
	for _, c := range calls {
		f.Add(c.method, c.target, []byte(c.body))
	}
	parent := scratch(f)
	w := newWorld(f, parent)
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		if strings.ContainsAny(method+target, "\r\n") {
			t.Skip("this would be several lines")
		}
		if list := w.manager.List(); len(list) != 1 { // it was released
			w.end()
			w = newWorld(t, parent)
		}
		request, err := http.ReadRequest(bufio.NewReader(io.MultiReader(
			strings.NewReader(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: pod\r\nContent-Length: %d\r\n\r\n", method, target, len(body))), bytes.NewReader(body))))
		if err != nil {
			t.Skip("not HTTP")
		}
		for name, values := range signedHeader(request.Method, request.RequestURI, body) {
			request.Header[name] = values
		}
		request.RemoteAddr = "192.0.2.1:1"
		reply := httptest.NewRecorder()
		w.server.ServeHTTP(reply, request)
		checkReply(t, request, reply.Result(), reply.Body.Bytes())
		if reply.Code == http.StatusUnauthorized {
			t.Fatalf("%s %q was signed, and refused: %s", method, target, reply.Body)
		}
		if reply.Code == http.StatusCreated {
			t.Fatal("it started something")
		}
	})
}

func checkReply(t *testing.T, request *http.Request, reply *http.Response, body []byte) {
	what := request.Method + " " + strconv.Quote(request.RequestURI)
	if bytes.Contains(body, []byte(secret)) {
		t.Fatalf("%s gave it away", what)
	}
	if len(body) > outputBytes {
		t.Fatalf("%s: %d bytes", what, len(body))
	}
	if length := reply.Header.Get("Content-Length"); length != "" && request.Method != http.MethodHead && length != strconv.Itoa(len(body)) {
		t.Fatalf("%s: %d bytes of %s", what, len(body), length)
	}
	switch {
	case reply.StatusCode >= 300 && reply.StatusCode < 400:
		t.Fatalf("%s is sent elsewhere: %s", what, reply.Header.Get("Location"))
	case reply.StatusCode >= 500 && reply.StatusCode != http.StatusServiceUnavailable:
		t.Fatalf("%s: %d %s", what, reply.StatusCode, body)
	case reply.StatusCode >= 400:
		var failure wire.ErrorBody
		if err := json.Unmarshal(body, &failure); err != nil || !errorCode.MatchString(failure.Error.Code) || failure.Error.Message == "" {
			t.Fatalf("%s: %d %q", what, reply.StatusCode, body)
		}
	case reply.Header.Get("Content-Type") == "application/json":
		if !json.Valid(body) {
			t.Fatalf("%s: %q", what, body)
		}
	}
}

// pipes is a listener of connections in memory.
type pipes struct {
	net.Listener
	accepted chan net.Conn
}

func (p *pipes) Accept() (net.Conn, error) {
	if conn, open := <-p.accepted; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// canned is a connection on which all was sent, and the caller waits for the end of the reply.
type canned struct {
	input  *bytes.Reader
	mu     sync.Mutex
	output bytes.Buffer
	closed chan struct{}
	once   sync.Once
}

func (c *canned) Read(into []byte) (int, error) { return c.input.Read(into) }
func (c *canned) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.output.Write(data)
}
func (c *canned) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *canned) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 8478} }
func (c *canned) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// panics collects what net/http says of a handler that panicked: it goes on as if nothing were.
type panics struct {
	mu   sync.Mutex
	said string
}

func (p *panics) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Contains(line, []byte("panic")) {
		p.said += string(line)
	}
	return len(line), nil
}

// Whatever bytes a stranger sends: nothing is answered but /healthz, and nothing changes.
func FuzzUnsigned(f *testing.F) {
	public := sign.KeyID(key.Public().(ed25519.PublicKey))
	for _, c := range calls {
		f.Add(fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", c.method, c.target, len(c.body), c.body))
		f.Add(fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: a\r\nSoulbox-Key-Id: %s\r\nSoulbox-Signature: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", c.method, c.target, public))
	}
	f.Add([]byte("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nPOST /v1/shutdown HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("POST /v1/shutdown HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Add([]byte("PUT /v1/executions/a/1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\nSoulbox-Key-Id: " + public + "\r\nSoulbox-Signature: x\r\n\r\n"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	w := newWorld(f, scratch(f))
	told := &panics{}
	listener := &pipes{accepted: make(chan net.Conn)}
	served := w.server.http()
	served.ErrorLog = log.New(told, "", 0)
	go func() { _ = served.Serve(listener) }()
	f.Cleanup(func() { close(listener.accepted) })
	f.Fuzz(func(t *testing.T, raw []byte) {
		conn := &canned{input: bytes.NewReader(raw), closed: make(chan struct{})}
		listener.accepted <- conn
		<-conn.closed
		conn.mu.Lock()
		defer conn.mu.Unlock()
		told.mu.Lock()
		defer told.mu.Unlock()
		if told.said != "" {
			t.Fatalf("%q: %s", raw, told.said)
		}
		if bytes.Contains(conn.output.Bytes(), []byte(secret)) || conn.output.Len() > 64*len(raw)+4096 {
			t.Fatalf("%q was answered with %d bytes", raw, conn.output.Len())
		}
		replies := bufio.NewReader(&conn.output)
		for {
			// As to a GET: only HEAD differs, whose reply has no body, and then the rest is no HTTP.
			reply, err := http.ReadResponse(replies, nil)
			if err != nil {
				break
			}
			body, _ := io.ReadAll(reply.Body)
			if reply.StatusCode < 300 && reply.StatusCode != http.StatusContinue && string(body) != "ok" {
				t.Fatalf("%q was answered with %d %q", raw, reply.StatusCode, body)
			}
		}
		if list := w.manager.List(); len(list) != 1 || list[0].UID != "a" {
			t.Fatalf("%q changed the table: %+v", raw, list)
		}
	})
}
