package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

func record(uid string, state wire.State) Record {
	at := wire.Time{Time: time.Unix(1, 2).UTC()}
	doc := wire.Document{UID: uid, Attempt: 1, State: state, AcceptedTime: at}
	switch state {
	case wire.Running:
		doc.StartTime = &at
	case wire.Finished:
		doc.CompletionTime, doc.Result = &at, &wire.Result{Outcome: wire.StartFailed}
	}
	return Record{BodySHA256: strings.Repeat("a", 64), Document: doc}
}

func open(t *testing.T, dir string) (*Journal, []Record) {
	t.Helper()
	j, records, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, records
}

func TestRecordsAreFoundAgainInTheirLastState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	j, _ := open(t, dir)
	for _, state := range []wire.State{wire.Accepted, wire.Running, wire.Finished} {
		if err := j.Write(record("a", state)); err != nil {
			t.Fatal(err)
		}
		_, records := open(t, dir)
		if len(records) != 1 || !reflect.DeepEqual(records[0], record("a", state)) {
			t.Fatalf("%s: %+v", state, records)
		}
	}
}

func TestRecordsKeepNoOutput(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	r := record("a", wire.Finished)
	big := []byte(strings.Repeat("x", wire.HeadBytes))
	r.Document.Output = &wire.Outputs{Stdout: wire.Stream{Head: big, Tail: big, Bytes: 1 << 20, Truncated: true}}
	if err := j.Write(r); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "a.1.json"))
	if err != nil || info.Size() > 2000 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if len(r.Document.Output.Stdout.Head) != wire.HeadBytes {
		t.Error("the caller's document was changed")
	}
	if _, records := open(t, dir); records[0].Document.Output.Stdout.Bytes != 1<<20 {
		t.Error("the count of bytes was lost")
	}
}

func TestReleaseLeavesATombstoneAndNoRecord(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	for _, uid := range []string{"a", "b"} {
		if err := j.Write(record(uid, wire.Finished)); err != nil {
			t.Fatal(err)
		}
	}
	if j.Released("a", 1) {
		t.Fatal("released before")
	}
	for range 2 {
		if err := j.Release("a", 1); err != nil {
			t.Fatal(err)
		}
	}
	again, records := open(t, dir)
	if len(records) != 1 || records[0].Document.UID != "b" || !again.Released("a", 1) || again.Released("b", 1) || again.Released("a", 2) {
		t.Errorf("%+v", records)
	}
}

func TestFullDirectoryFailsAndLeavesNothingHalf(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	if err := j.Write(record("a", wire.Accepted)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "b.1.json"), 0o700); err != nil { // in the way of the rename
		t.Fatal(err)
	}
	if err := j.Write(record("b", wire.Finished)); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Lstat(filepath.Join(dir, "b.1.json.tmp")); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "a.1.json"))
	if err != nil || !strings.Contains(string(raw), `"Accepted"`) {
		t.Errorf("%s, %v", raw, err)
	}
}

// A program without Landlock may put a FIFO where the next record is written: opened, it
// would hold up every call from then on.
func TestWhatAProgramPutInARecordsWayIsReplaced(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	if err := unix.Mkfifo(filepath.Join(dir, "a.1.json.tmp"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.Write(record("a", wire.Accepted)); err != nil {
		t.Fatal(err)
	}
	if _, records := open(t, dir); len(records) != 1 {
		t.Errorf("%+v", records)
	}
}

func TestTombstonesAreBoundedAndForgetTheOldest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tombstones")
	stones, err := openTombstones(path)
	if err != nil {
		t.Fatal(err)
	}
	stones.most = 100
	for i := range 250 {
		if err := stones.add(fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
		if !stones.has(fmt.Sprint(i), 1) || len(stones.order) > 100 {
			t.Fatalf("at %d: %d kept", i, len(stones.order))
		}
	}
	again, err := openTombstones(path)
	if err != nil || !reflect.DeepEqual(again.order, stones.order) {
		t.Fatalf("%d after, %d before, %v", len(again.order), len(stones.order), err)
	}
	if again.has("0", 1) || !again.has("249", 1) || !again.has("200", 1) {
		t.Error("the wrong ones were forgotten")
	}
}

func TestFileName(t *testing.T) {
	if got := FileName("a-b", 12); got != "a-b.12" {
		t.Error(got)
	}
}
