package ownfile

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// plant puts each thing that a program may put in a file's place.
func plant(t *testing.T, path string) map[string]func() error {
	t.Helper()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]func() error{
		"a FIFO":      func() error { return unix.Mkfifo(path, 0o600) },
		"a link":      func() error { return os.Symlink(elsewhere, path) },
		"a directory": func() error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
		"a socket":    func() error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	}
}

func TestWhatAProgramPutInTheWayIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for name, put := range plant(t, path) {
		if err := put(); err != nil {
			t.Fatal(name, err)
		}
		if _, err := Open(path); err == nil {
			t.Errorf("%s was opened", name)
		}
		if err := Write(path, []byte("ours")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := Read(path, 100); string(got) != "ours" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path, 4); string(got) != "0123" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
