package journal

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// scratch is on a tmpfs where there is one, as the journal is in a pod.
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

func clear(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// records are one of each state and outcome, with everything a record may hold.
func records() []Record {
	at := func(second int64) *wire.Time { return &wire.Time{Time: time.Unix(second, 123).UTC()} }
	number, code := int64(7), 3
	stream := wire.Stream{Head: []byte{}, Tail: []byte{}, Bytes: 9, StoredBytes: 5, Truncated: true, SHA256: strings.Repeat("0", 64)}
	accepted := record("a", wire.Accepted)
	running, finished := record("a", wire.Running), record("a", wire.Finished)
	full := running
	full.Document.State, full.Document.CompletionTime, full.Document.DurationMilliseconds = wire.Finished, at(4), &number
	full.Document.Result = &wire.Result{Outcome: wire.Exited, ExitCode: &code, OOMKills: 1, LeftAtWork: true}
	full.Document.Usage = &wire.Usage{CPUTimeMilliseconds: 1, PeakMemoryBytes: 2, NetworkRxBytes: &number, Shared: true}
	full.Document.Output = &wire.Outputs{Stdout: stream, Stderr: stream}
	full.Document.Files = []wire.CapturedFile{{Path: "a/b", Size: 1, SHA256: strings.Repeat("a", 64), Truncated: true}}
	full.Document.FilesOmitted, full.Document.FilesOmittedReason = 2, "too many"
	full.Document.ResultFile = &wire.ResultFile{Size: 8, SHA256: strings.Repeat("b", 64)}
	large := full
	large.Document.ResultFile = &wire.ResultFile{Size: 1 << 40, Problem: wire.TooLarge, Message: "it has more"}
	return []Record{accepted, running, finished, full, large}
}

// What was written is read back as it was, and never less than the whole of it: a file cut off
// or changed anywhere is refused, or is a record of the same execution that is whole in itself.
func FuzzRecord(f *testing.F) {
	dir := scratch(f)
	for which := range records() {
		f.Add(uint8(which), "a-1", 1, "words\x00\xff", uint16(9), "")
		f.Add(uint8(which), "a-1", 1, "words", uint16(9), "{}")
		f.Add(uint8(which), "a-1", 1, "words", uint16(90), `,"uid":"b"`)
	}
	f.Add(uint8(3), "a", 1, "", uint16(0), "null")
	f.Add(uint8(4), "a", 1, "", uint16(900), "9")
	f.Add(uint8(3), "a", 1<<30, "", uint16(0), " ")
	f.Fuzz(func(t *testing.T, which uint8, uid string, attempt int, words string, at uint16, change string) {
		if !wire.ValidUID(uid) || attempt < 1 || attempt > 1<<31-1 {
			t.Skip("such a call is refused before")
		}
		clear(t, dir)
		known := records()
		want := known[int(which)%len(known)]
		want.Document.UID, want.Document.Attempt = uid, attempt
		if want.Document.Result != nil {
			want.Document.Result.Message = strings.ToValidUTF8(words, "\uFFFD")
		}
		j, _ := open(t, dir)
		if err := j.Write(want); err != nil {
			t.Fatal(err)
		}
		if _, found := open(t, dir); len(found) != 1 || !reflect.DeepEqual(found[0], want) {
			t.Fatalf("written %+v, read %+v", want, found)
		}
		path := j.path(uid, attempt)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cut := int(at) % len(raw)
		for _, other := range [][]byte{
			raw[:cut], []byte(change),
			append(append(bytes.Clone(raw[:cut]), change...), raw[cut:]...),
			append(append(bytes.Clone(raw[:cut]), change...), raw[min(cut+len(change), len(raw)):]...),
		} {
			if err := os.WriteFile(path, other, 0o600); err != nil {
				t.Fatal(err)
			}
			again, found, err := Open(dir)
			if err != nil {
				continue
			}
			if len(found) != 1 || found[0].Document.UID != uid || found[0].Document.Attempt != attempt {
				t.Fatalf("%q was read as %+v", other, found)
			}
			checkWhole(t, other, found[0])
			if err := again.Write(found[0]); err != nil {
				t.Fatalf("%q was read, and cannot be written: %v", other, err)
			}
			_ = again.Close()
		}
	})
}

// checkWhole: the contract of a document, which the operator holds the runner to.
func checkWhole(t *testing.T, raw []byte, r Record) {
	doc := r.Document
	finished := doc.State == wire.Finished
	switch {
	case len(r.BodySHA256) != 64,
		doc.State != wire.Accepted && doc.State != wire.Running && !finished,
		finished != (doc.Result != nil), finished != (doc.CompletionTime != nil),
		doc.State == wire.Running && doc.StartTime == nil,
		doc.Result != nil && (doc.Result.Outcome == wire.Exited) != (doc.Result.ExitCode != nil),
		doc.ResultFile != nil && doc.ResultFile.Problem == "" && doc.ResultFile.Size > wire.MaxResultBytes:
		t.Fatalf("half a record was taken: %q", raw)
	}
	if _, err := json.Marshal(doc); err != nil {
		t.Fatalf("%q cannot be told: %v", raw, err)
	}
}

// Whatever is in the file of tombstones, all of it that is read stays known through later
// releases and a restart.
func FuzzTombstones(f *testing.F) {
	dir := scratch(f)
	one, two := tombstoneOf("a", 1), tombstoneOf("b", 1)
	f.Add([]byte{}, uint8(3))
	f.Add(append(one[:], two[:]...), uint8(2))
	f.Add(append(append(one[:], one[:]...), two[:]...), uint8(1)) // a double
	f.Add(append(one[:], two[:7]...), uint8(1))                   // one that was cut off
	f.Fuzz(func(t *testing.T, raw []byte, more uint8) {
		path := filepath.Join(dir, "tombstones")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		stones, err := openTombstones(path)
		if err != nil {
			t.Fatal(err)
		}
		known := map[tombstone]bool{}
		for i := 0; i+16 <= len(raw); i += 16 {
			known[tombstone(raw[i:i+16])] = true
		}
		for i := range int(more % 8) {
			known[tombstoneOf("n", i)] = true
			if err := stones.add("n", i); err != nil {
				t.Fatal(err)
			}
		}
		_ = stones.file.Close()
		again, err := openTombstones(path)
		if err != nil {
			t.Fatal(err)
		}
		defer again.file.Close()
		for _, set := range []map[tombstone]struct{}{stones.set, again.set} {
			if len(set) != len(known) {
				t.Fatalf("%d known of %d", len(set), len(known))
			}
			for stone := range known {
				if _, there := set[stone]; !there {
					t.Fatalf("%x was forgotten", stone)
				}
			}
		}
	})
}
