package run

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func namesIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

func leave(t *testing.T, dir string) {
	t.Helper()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o700),
		os.WriteFile(filepath.Join(dir, "a/b/c"), nil, 0o600),
		os.Mkdir(filepath.Join(dir, "closed"), 0),
		os.Symlink("/etc", filepath.Join(dir, "link")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What is being removed of an earlier run holds up neither the next run nor
// what that one leaves.
func TestEmptyWaitsForNoRemovalUnderWay(t *testing.T) {
	dir := t.TempDir()
	m := newTestManager(t, t.TempDir())
	m.trash.Lock()
	for range 3 {
		leave(t, dir)
		m.empty([]string{dir})
		if names := namesIn(t, dir); names != trashName {
			t.Fatalf("in sight are %q", names)
		}
	}
	m.trash.Unlock()
	for deadline := time.Now().Add(time.Minute); namesIn(t, dir) != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not removed: %q", namesIn(t, dir))
		}
	}
}

func TestEmptyLeavesNoTrashOfAFewFiles(t *testing.T) {
	dir := t.TempDir()
	m := newTestManager(t, t.TempDir())
	for range 20 {
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		m.empty([]string{dir})
		if names := namesIn(t, dir); names != "" {
			t.Fatalf("in sight are %q", names)
		}
	}
}

// More names than there is time for are removed while programs run: not theirs.
func TestMoveAsideEndsAtItsDeadlineAndSparesWhatIsYounger(t *testing.T) {
	dir := t.TempDir()
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, all := moveAside(dir, math.MaxInt64, time.Now()); all {
		t.Error("the deadline had passed")
	}
	if left := len(strings.Fields(namesIn(t, dir))); left < 700 || left > 999 {
		t.Errorf("%d are left", left)
	}
	moment := time.Now().UnixNano()
	leave(t, dir)
	for _, name := range []string{"a", "closed", "link", "fifo"} {
		var info unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &info); err != nil {
			t.Fatal(err)
		}
		moment = min(moment, info.Ctim.Nano()-1) // file times come from a coarser clock
	}
	if _, all := moveAside(dir, moment, time.Time{}); !all {
		t.Error("there was no deadline")
	}
	for _, name := range []string{"a", "closed", "link", "fifo"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	moveAside(dir, math.MaxInt64, time.Time{})
	if names := namesIn(t, dir); names != trashName {
		t.Errorf("in sight are %q", names)
	}
	removeTree(filepath.Join(dir, trashName))
}
