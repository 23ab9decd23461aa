package output

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// place is a run's private directory, and the one of its output.
func place(t *testing.T) (private, dir string, root *os.Root) {
	private, dir = t.TempDir(), t.TempDir()
	root, err := os.OpenRoot(private)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return private, dir, root
}

func TestResultIsKeptAsItIs(t *testing.T) {
	for name, content := range map[string]string{
		"JSON": `{"a": 1.50, "a": "é"}` + "\n", "empty": "", "no text": "\x00\xff", "the largest": strings.Repeat("x", wire.MaxResultBytes),
	} {
		private, dir, root := place(t)
		path := filepath.Join(private, "result")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		kept := TakeResult(root, "result", dir)
		if kept == nil || kept.Problem != "" || kept.Size != int64(len(content)) || kept.Content != nil || kept.SHA256 != hashOf([]byte(content)) {
			t.Fatalf("%s: kept %+v", name, kept)
		}
		_ = os.WriteFile(path, []byte("changed"), 0o600)
		told := ReadResult(dir, kept)
		if told.Problem != "" || !bytes.Equal(told.Content, []byte(content)) || kept.Content != nil {
			t.Errorf("%s: told %+v", name, told)
		}
		_ = os.WriteFile(resultPath(dir), []byte("y"+content), 0o600)
		if told := ReadResult(dir, kept); told.Problem != wire.Unreadable || told.Content != nil || told.SHA256 != "" {
			t.Errorf("%s: a changed one: %+v", name, told)
		}
	}
}

func TestNothingIsNoResult(t *testing.T) {
	private, dir, root := place(t)
	if found := TakeResult(root, "result", dir); found != nil {
		t.Errorf("%+v", found)
	}
	if err := os.Remove(private); err != nil {
		t.Fatal(err)
	}
	if found := TakeResult(root, "result", dir); found != nil {
		t.Errorf("of a directory that is gone: %+v", found)
	}
}

func TestWhatIsNoResultIsNotRead(t *testing.T) {
	hole := func(size int64) func(string) error {
		return func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, size)
		}
	}
	for name, c := range map[string]struct {
		make     func(path string) error
		want     wire.ResultProblem
		wantSize int64
	}{
		"one byte too many":     {hole(wire.MaxResultBytes + 1), wire.TooLarge, wire.MaxResultBytes + 1},
		"a hole of terabytes":   {hole(1 << 42), wire.TooLarge, 1 << 42},
		"a directory":           {func(path string) error { return os.Mkdir(path, 0o700) }, wire.NotAFile, 0},
		"a FIFO":                {func(path string) error { return unix.Mkfifo(path, 0o600) }, wire.NotAFile, 0},
		"a link to the outside": {func(path string) error { return os.Symlink("/etc/passwd", path) }, wire.NotAFile, 0},
		"a link that leads nowhere": {
			func(path string) error { return os.Symlink("nowhere", path) }, wire.NotAFile, 0,
		},
		"a link beside it": {func(path string) error {
			_ = os.WriteFile(path+".x", []byte("1"), 0o600)
			return os.Symlink("result.x", path)
		}, wire.NotAFile, 0},
		"a second name": {func(path string) error {
			_ = os.WriteFile(path+".x", []byte("1"), 0o600)
			return os.Link(path+".x", path)
		}, wire.NotAFile, 0},
		"a socket": {func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) }, wire.NotAFile, 0},
	} {
		private, dir, root := place(t)
		if err := c.make(filepath.Join(private, "result")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := TakeResult(root, "result", dir)
		if found == nil || found.Problem != c.want || found.Size != c.wantSize || found.Content != nil || found.SHA256 != "" || found.Message == "" {
			t.Errorf("%s: %+v", name, found)
			continue
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: kept all the same", name)
		}
		if told := ReadResult(dir, found); told != found {
			t.Errorf("%s: told %+v", name, told)
		}
	}
}

func TestResultIsFoundWhereTheDirectoryWent(t *testing.T) {
	private, dir, root := place(t)
	elsewhere := t.TempDir()
	_ = os.WriteFile(filepath.Join(elsewhere, "result"), []byte("another's"), 0o600)
	_ = os.WriteFile(filepath.Join(private, "result"), []byte("its own"), 0o600)
	if err := os.Rename(private, private+"-moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, private); err != nil {
		t.Fatal(err)
	}
	found := TakeResult(root, "result", dir)
	if found == nil || string(ReadResult(dir, found).Content) != "its own" {
		t.Errorf("%+v", found)
	}
}

func TestResultThatCannotBeKeptIsTold(t *testing.T) {
	private, dir, root := place(t)
	_ = os.WriteFile(filepath.Join(private, "result"), []byte("1"), 0o600)
	found := TakeResult(root, "result", filepath.Join(dir, "gone"))
	if found == nil || found.Problem != wire.Unreadable || strings.Contains(found.Message, dir) {
		t.Errorf("%+v", found)
	}
}
