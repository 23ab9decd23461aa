package walk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func visited(t *testing.T, dir string, limit time.Duration) ([]string, error) {
	t.Helper()
	var paths []string
	err := Tree(dir, limit, func(path string, _ *unix.Stat_t) { paths = append(paths, path) })
	sort.Strings(paths)
	return paths, err
}

func TestTreeVisitsAllAndFollowsNoLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(outside, "secret"), nil, 0o600),
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o700),
		os.WriteFile(filepath.Join(dir, "a/b/c"), nil, 0o600),
		os.Symlink(outside, filepath.Join(dir, "link")),
		os.Symlink("..", filepath.Join(dir, "a/up")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	paths, err := visited(t, dir, time.Minute)
	if err != nil || strings.Join(paths, " ") != "a a/b a/b/c a/up fifo link" {
		t.Errorf("%v, %v", paths, err)
	}
}

func TestTreeReadsLargeDirectoriesInPieces(t *testing.T) {
	dir := t.TempDir()
	for i := range 3*chunk + 1 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if paths, err := visited(t, dir, time.Minute); err != nil || len(paths) != 3*chunk+1 {
		t.Errorf("%d entries, %v", len(paths), err)
	}
}

func TestTreeGivesUpOnDepthAndTime(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", maxDepth+5)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "z"} { // beside it, whatever comes first
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if paths, err := visited(t, dir, time.Minute); !errors.Is(err, ErrTooDeep) || len(paths) != maxDepth+2 {
		t.Errorf("%d entries, %v", len(paths), err)
	}
	if _, err := visited(t, dir, 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("no time: %v", err)
	}
	if _, err := visited(t, dir+"/missing", time.Minute); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
