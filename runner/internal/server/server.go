// Package server is the HTTP side of the runner: who may call, how calls map
// to the table of executions, and bounds on all of it.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/enforce"
	"github.com/soulbox-dev/soulbox/runner/internal/run"
	"github.com/soulbox-dev/soulbox/runner/internal/sign"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second // on top of what a call may wait
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	maxWait       = 60 * time.Second
	// bodiesAtOnce bounds the memory of callers that have a known key id but
	// perhaps not the key: 4 MiB each.
	bodiesAtOnce = 4
)

// Server answers the calls of the operator.
type Server struct {
	manager  *run.Manager
	verifier *sign.Verifier
	stats    func() wire.Stats
	policy   *enforce.Watch
	log      *slog.Logger
	version  string
	podUID   string
	now      func() time.Time
	isOwn    func(net.IP) bool
	bodies   chan struct{}
	refused  atomic.Int64
	handler  http.Handler
}

// Options of New. IsOwn tells the pod's own addresses, which are answered
// nothing but /healthz; nil where callers are local on purpose. Policy is nil
// where nobody asks for it.
type Options struct {
	Manager  *run.Manager
	Verifier *sign.Verifier
	Stats    func() wire.Stats
	Policy   *enforce.Watch
	Log      *slog.Logger
	Version  string
	PodUID   string
	Now      func() time.Time
	IsOwn    func(net.IP) bool
}

// New makes a server; Start runs it.
func New(o Options) *Server {
	s := &Server{
		manager: o.Manager, verifier: o.Verifier, stats: o.Stats, policy: o.Policy, log: o.Log,
		version: o.Version, podUID: o.PodUID, now: o.Now, isOwn: o.IsOwn, bodies: make(chan struct{}, bodiesAtOnce),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/executions", s.list)
	mux.HandleFunc("PUT /v1/executions/{uid}/{attempt}", s.put)
	mux.HandleFunc("GET /v1/executions/{uid}/{attempt}", s.get)
	mux.HandleFunc("DELETE /v1/executions/{uid}/{attempt}", s.cancel)
	mux.HandleFunc("POST /v1/executions/{uid}/{attempt}/release", s.release)
	mux.HandleFunc("GET /v1/executions/{uid}/{attempt}/output/{stream}", s.output)
	mux.HandleFunc("GET /v1/executions/{uid}/{attempt}/files/{path...}", s.file)
	mux.HandleFunc("GET /v1/stats", s.getStats)
	mux.HandleFunc("POST /v1/enforcement", s.enforcement)
	mux.HandleFunc("POST /v1/shutdown", s.shutdown)
	mux.HandleFunc("/", notFound)
	s.handler = mux
	return s
}

// Start serves on the listener until the context ends; then calls under way
// have a second to be answered.
func (s *Server) Start(ctx context.Context, listener net.Listener) error {
	server := s.http()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = server.Shutdown(closing)
	return server.Close()
}

func (s *Server) http() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true, // it would answer "OPTIONS *" by itself
	}
}

// ServeHTTP lets through what is signed.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(sign.HeaderTime, strconv.FormatInt(s.now().UnixMilli(), 10))
	if r.URL.Path == "/healthz" && r.Method == http.MethodGet {
		_, _ = io.WriteString(w, "ok")
		return
	}
	if s.isOwn != nil && s.isOwn(remoteIP(r)) {
		writeError(w, http.StatusForbidden, "Forbidden", "calls from inside the sandbox are not answered")
		return
	}
	body, err := s.readSigned(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	// The mux answers these itself, with a redirect or a page for people.
	if !strings.HasPrefix(r.RequestURI, "/") || path.Clean(r.URL.EscapedPath()) != r.URL.EscapedPath() {
		notFound(w, r)
		return
	}
	s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), bodyKey{}, body)))
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeError(w, http.StatusNotFound, "NotFound", "no such call")
}

type bodyKey struct{}

var errBodyTooLarge = &wire.InvalidError{Field: "body", Problem: "is larger than " + strconv.Itoa(wire.MaxBodyBytes) + " bytes"}

// readSigned reads the whole body, for the signature covers it, and verifies.
func (s *Server) readSigned(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := s.verifier.Precheck(r.Header); err != nil {
		return nil, err
	}
	var body []byte
	if r.ContentLength != 0 {
		select {
		case s.bodies <- struct{}{}:
			defer func() { <-s.bodies }()
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
		var err error
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxBodyBytes))
		_ = control.SetReadDeadline(time.Time{})
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, errBodyTooLarge
		}
		if err != nil {
			return nil, err
		}
	}
	return body, s.verifier.Verify(r.Method, r.RequestURI, r.Header, body)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *sign.Error
	if !errors.As(err, &refusal) {
		writeError(w, http.StatusBadRequest, "Invalid", err.Error())
		return
	}
	// The count is in the log for who wonders; every refusal would let a
	// caller fill it.
	if n := s.refused.Add(1); n&(n-1) == 0 {
		s.log.Warn("request refused", "code", refusal.Code, "remote", r.RemoteAddr, "refusedTotal", n)
	}
	writeJSON(w, http.StatusUnauthorized, wire.ErrorBody{
		Error:            wire.ErrorDetail{Code: refusal.Code, Message: refusal.Message},
		TimeMilliseconds: s.now().UnixMilli(),
	})
}

func remoteIP(r *http.Request) net.IP {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	return net.ParseIP(host)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"error":{"code":"Internal","message":"the reply cannot be encoded"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, wire.ErrorBody{Error: wire.ErrorDetail{Code: code, Message: message}})
}
