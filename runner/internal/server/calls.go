package server

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/output"
	"github.com/soulbox-dev/soulbox/runner/internal/run"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// outputBytes is the most one GET …/output gives; the caller goes on from
// there.
const outputBytes = 1 << 20

func fail(w http.ResponseWriter, err error) {
	var refusal *run.Refusal
	var invalid *wire.InvalidError
	switch {
	case errors.As(err, &refusal):
		writeError(w, refusal.Status, refusal.Code, refusal.Message)
	case errors.As(err, &invalid):
		writeError(w, http.StatusBadRequest, "Invalid", invalid.Error())
	default:
		writeError(w, http.StatusInternalServerError, "Internal", err.Error())
	}
}

// parseKey reads uid and attempt from the path. They become file names.
func parseKey(r *http.Request) (run.Key, error) {
	uid := r.PathValue("uid")
	if !wire.ValidUID(uid) {
		return run.Key{}, &wire.InvalidError{Field: "uid", Problem: "must be up to 63 letters, digits and '-'"}
	}
	text := r.PathValue("attempt")
	attempt, err := strconv.ParseInt(text, 10, 32)
	if err != nil || attempt < 1 || text != strconv.FormatInt(attempt, 10) {
		return run.Key{}, &wire.InvalidError{Field: "attempt", Problem: "must be a number from 1"}
	}
	return run.Key{UID: uid, Attempt: int(attempt)}, nil
}

func (s *Server) find(r *http.Request) (*run.Run, error) {
	key, err := parseKey(r)
	if err != nil {
		return nil, err
	}
	return s.manager.Find(key)
}

// wait lets the time in ?wait= pass, or less when the run ends or the caller
// leaves. It allows the reply that much longer.
func wait(w http.ResponseWriter, r *http.Request, done <-chan struct{}) error {
	text := r.URL.Query().Get("wait")
	var period time.Duration
	if text != "" {
		var err error
		if period, err = time.ParseDuration(text); err != nil || period < 0 {
			return &wire.InvalidError{Field: "wait", Problem: "must be a duration such as 30s"}
		}
		period = min(period, maxWait)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(period + writeTimeout))
	if period == 0 {
		return nil
	}
	timer := time.NewTimer(period)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-r.Context().Done():
	}
	return nil
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, wire.List{
		Executions: s.manager.List(), RunnerVersion: s.version, PodUID: s.podUID, Time: wire.Time{Time: s.now()},
		PolicyUnseen: s.policy != nil && !s.policy.Seen(), Features: wire.Features(),
	})
}

// enforcement looks whether the pod's network policy is in force.
func (s *Server) enforcement(w http.ResponseWriter, r *http.Request) {
	if s.policy == nil {
		writeError(w, http.StatusNotFound, "NotFound", "the runner was started without --require-enforcement")
		return
	}
	body, _ := r.Context().Value(bodyKey{}).([]byte)
	told, err := wire.ParseEnforcementRequest(body)
	if err != nil {
		fail(w, err)
		return
	}
	caller, _ := netip.AddrFromSlice(remoteIP(r))
	result := s.policy.Look(r.Context(), caller, told)
	s.log.Info("looked at the network policy", "finding", result.Finding, "from", told.String(), "message", result.Message)
	writeJSON(w, http.StatusOK, result)
}

func (s *Server) put(w http.ResponseWriter, r *http.Request) {
	key, err := parseKey(r)
	if err != nil {
		fail(w, err)
		return
	}
	body, _ := r.Context().Value(bodyKey{}).([]byte)
	if query := r.URL.Query().Get("wait"); query != "" {
		if period, err := time.ParseDuration(query); err != nil || period < 0 { // before anything is started
			fail(w, &wire.InvalidError{Field: "wait", Problem: "must be a duration such as 1s"})
			return
		}
	}
	found, created, err := s.manager.Accept(key, body)
	if err != nil {
		fail(w, err)
		return
	}
	if err := wait(w, r, found.Done()); err != nil {
		fail(w, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeJSON(w, status, found.Document())
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	found, err := s.find(r)
	if err == nil {
		err = wait(w, r, found.Done())
	}
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, found.Document())
}

func (s *Server) cancel(w http.ResponseWriter, r *http.Request) {
	found, err := s.find(r)
	if err != nil {
		fail(w, err)
		return
	}
	found.Stop(wire.Cancelled, "cancelled by request")
	doc := found.Document()
	status := http.StatusAccepted
	if doc.State == wire.Finished {
		status = http.StatusOK
	}
	writeJSON(w, status, doc)
}

func (s *Server) release(w http.ResponseWriter, r *http.Request) {
	key, err := parseKey(r)
	if err == nil {
		err = s.manager.Release(key)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) output(w http.ResponseWriter, r *http.Request) {
	found, err := s.find(r)
	if err != nil {
		fail(w, err)
		return
	}
	name := r.PathValue("stream")
	if name != "stdout" && name != "stderr" {
		writeError(w, http.StatusNotFound, "NotFound", "the streams are stdout and stderr")
		return
	}
	offset, err := parseOffset(r)
	if err != nil {
		fail(w, err)
		return
	}
	// State and sizes are read before the bytes: a reader that sees Finished
	// and fewer stored bytes than it has would lose the rest.
	state := found.State()
	total, stored := found.Sizes(name)
	h := w.Header()
	h.Set("Soulbox-Total-Bytes", strconv.FormatInt(total, 10))
	h.Set("Soulbox-Stored-Bytes", strconv.FormatInt(stored, 10))
	h.Set("Soulbox-State", string(state))
	s.sendBytes(w, found.StreamPath(name), offset, stored-offset)
}

func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	found, err := s.find(r)
	if err != nil {
		fail(w, err)
		return
	}
	offset, err := parseOffset(r)
	if err != nil {
		fail(w, err)
		return
	}
	path := found.FilePath(r.PathValue("path"))
	if path == "" {
		writeError(w, http.StatusNotFound, "NotFound", "no captured file of that path")
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Soulbox-Stored-Bytes", strconv.FormatInt(info.Size(), 10))
	s.sendBytes(w, path, offset, info.Size()-offset)
}

func parseOffset(r *http.Request) (int64, error) {
	text := r.URL.Query().Get("offset")
	if text == "" {
		return 0, nil
	}
	offset, err := strconv.ParseInt(text, 10, 64)
	if err != nil || offset < 0 {
		return 0, &wire.InvalidError{Field: "offset", Problem: "must be a number from 0"}
	}
	return offset, nil
}

// sendBytes streams the file from the offset: no reply holds it in memory.
func (s *Server) sendBytes(w http.ResponseWriter, path string, offset, left int64) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	file, length, err := output.OpenStored(path, offset, min(left, outputBytes))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	if file != nil {
		defer file.Close()
		_, _ = io.CopyN(w, file, length)
	}
}

func (s *Server) getStats(w http.ResponseWriter, _ *http.Request) {
	figures := s.stats()
	figures.RunningExecutions = s.manager.RunningKeys()
	writeJSON(w, http.StatusOK, figures)
}

func (s *Server) shutdown(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusAccepted)
	s.manager.Drain("shutdown was called")
}
