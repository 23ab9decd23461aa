// Package journal makes what happened to an execution outlive the runner's
// process: accepted, started, finished, released. It lives on a small tmpfs
// of its own, so that no program can fill it and a write costs half a
// millisecond. Output is not in it: it would not fit.
package journal

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/soulbox-dev/soulbox/runner/internal/ownfile"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// Record is what is kept of one unreleased execution. The document is without
// the heads and tails of its output, and without the content of its result.
type Record struct {
	BodySHA256 string        `json:"bodySha256"`
	Document   wire.Document `json:"document"`
}

// Journal is a directory with one file an unreleased execution, and the
// tombstones of the released ones.
type Journal struct {
	dir        string
	tombstones *Tombstones
}

const (
	recordSuffix = ".json"
	tempSuffix   = ".tmp"
)

// Open makes the directory if needed and reads what an earlier process left.
// A record that cannot be read is an error and not skipped: to forget an
// execution would be to run it twice.
func Open(dir string) (*Journal, []Record, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var records []Record
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch filepath.Ext(entry.Name()) {
		case tempSuffix: // a write that was cut off before its rename
			if err := os.Remove(path); err != nil {
				return nil, nil, err
			}
		case recordSuffix:
			var record Record
			raw, err := ownfile.Read(path, math.MaxInt32)
			if err == nil {
				err = json.Unmarshal(raw, &record)
			}
			if err == nil {
				err = record.check(entry.Name())
			}
			if err != nil {
				return nil, nil, fmt.Errorf("journal record %s: %w", path, err)
			}
			records = append(records, record)
		}
	}
	tombstones, err := openTombstones(filepath.Join(dir, "tombstones"))
	if err != nil {
		return nil, nil, err
	}
	return &Journal{dir: dir, tombstones: tombstones}, records, nil
}

// check refuses what is JSON and no whole record of that file's execution: half of one would
// be told as its end.
func (r *Record) check(name string) error {
	doc := &r.Document
	finished := doc.State == wire.Finished
	switch {
	case !wire.ValidUID(doc.UID) || doc.Attempt < 1 || name != FileName(doc.UID, doc.Attempt)+recordSuffix:
		return fmt.Errorf("is of execution %.80q, attempt %d", doc.UID, doc.Attempt)
	case len(r.BodySHA256) != 2*sha256.Size:
		return errors.New("has no hash of the request")
	case doc.State != wire.Accepted && doc.State != wire.Running && !finished:
		return fmt.Errorf("has an unknown state %.80q", doc.State)
	case finished != (doc.Result != nil) || finished != (doc.CompletionTime != nil):
		return fmt.Errorf("says %s and has not what belongs to it", doc.State)
	case doc.State == wire.Running && doc.StartTime == nil:
		return errors.New("says Running and has no start")
	case finished && (doc.Result.Outcome == wire.Exited) != (doc.Result.ExitCode != nil):
		return fmt.Errorf("has an exit code that does not fit %.80q", doc.Result.Outcome)
	}
	if found := doc.ResultFile; found != nil && (!finished || found.Size < 0 ||
		found.Problem == "" && (found.Size > wire.MaxResultBytes || len(found.SHA256) != 2*sha256.Size)) {
		return errors.New("has a result that cannot be")
	}
	if doc.Output != nil {
		for _, s := range []wire.Stream{doc.Output.Stdout, doc.Output.Stderr} {
			if s.StoredBytes < 0 || s.StoredBytes > s.Bytes || s.Truncated != (s.StoredBytes < s.Bytes) {
				return errors.New("has sizes of output that contradict each other")
			}
		}
	}
	return nil
}

func (j *Journal) path(uid string, attempt int) string {
	return filepath.Join(j.dir, fmt.Sprintf("%s.%d%s", uid, attempt, recordSuffix))
}

// Write makes the record durable: a new file, fsync, rename, fsync of the
// directory. Afterwards a crash leaves either the old record or the new one.
func (j *Journal) Write(record Record) error {
	doc := record.Document
	if doc.Output != nil {
		slim := *doc.Output
		slim.Stdout.Head, slim.Stdout.Tail = []byte{}, []byte{}
		slim.Stderr.Head, slim.Stderr.Tail = []byte{}, []byte{}
		record.Document.Output = &slim
	}
	raw, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode journal record: %w", err)
	}
	return writeFile(j.path(doc.UID, doc.Attempt), raw)
}

func writeFile(path string, raw []byte) error {
	f, err := ownfile.Create(path + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // on a full tmpfs the rest would keep its space
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Drop forgets an execution that was refused after all.
func (j *Journal) Drop(uid string, attempt int) error {
	err := os.Remove(j.path(uid, attempt))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Release puts up the tombstone and then takes away the record: a crash
// between leaves both, and Open's caller asks the tombstones first.
func (j *Journal) Release(uid string, attempt int) error {
	if err := j.tombstones.add(uid, attempt); err != nil {
		return err
	}
	return j.Drop(uid, attempt)
}

// Released tells whether an execution has a tombstone.
func (j *Journal) Released(uid string, attempt int) bool {
	return j.tombstones.has(uid, attempt)
}

// Close closes the tombstones' file.
func (j *Journal) Close() error { return j.tombstones.file.Close() }

// FileName is the stem under which an execution's files are kept elsewhere.
func FileName(uid string, attempt int) string {
	return strings.TrimSuffix(filepath.Base((&Journal{}).path(uid, attempt)), recordSuffix)
}
