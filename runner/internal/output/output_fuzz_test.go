package output

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// parts gives a reader's data in the sizes asked for, in turn.
type parts struct {
	data  []byte
	sizes []byte
	next  int
}

func (p *parts) Read(buf []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, os.ErrClosed
	}
	size := 1
	if len(p.sizes) > 0 {
		size = 1 + int(p.sizes[p.next%len(p.sizes)])*257
		p.next++
	}
	n := copy(buf, p.data[:min(size, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}

// However a program writes, what is told of it is true, and another runner process tells the same.
func FuzzStream(f *testing.F) {
	dir := f.TempDir()
	f.Add([]byte("hello\n"), []byte{0}, uint16(1), uint32(100))
	f.Add([]byte("0123456789"), []byte{255, 0, 3}, uint16(7000), uint32(1000))
	f.Add([]byte{0, 255}, []byte{127}, uint16(40_000), uint32(65_536))
	f.Add([]byte("x"), []byte{}, uint16(65_535), uint32(0))
	f.Fuzz(func(t *testing.T, unit, sizes []byte, times uint16, limit uint32) {
		data := bytes.Repeat(unit, int(times))
		if len(data) > 200_000 {
			data = data[:200_000]
		}
		path := filepath.Join(dir, "stdout")
		for _, name := range []string{path, path + headSuffix, path + tailSuffix} {
			_ = os.Remove(name)
		}
		s := NewStream(path, int64(limit), nil)
		s.Copy(&parts{data: data, sizes: sizes})
		if err := s.SaveEnds(); err != nil {
			t.Fatal(err)
		}
		doc, sum := s.Document(), sha256.Sum256(data)
		stored := min(len(data), int(limit))
		head := data[:min(len(data), wire.HeadBytes)]
		tail := data[len(head):]
		tail = tail[max(0, len(tail)-wire.TailBytes):]
		if !bytes.Equal(doc.Head, head) || !bytes.Equal(doc.Tail, tail) || doc.Bytes != int64(len(data)) ||
			doc.StoredBytes != int64(stored) || doc.Truncated != (stored < len(data)) || doc.SHA256 != hex.EncodeToString(sum[:]) {
			t.Fatalf("%d bytes, limit %d: %d+%d shown, stored %d of %d", len(data), limit, len(doc.Head), len(doc.Tail), doc.StoredBytes, doc.Bytes)
		}
		kept := doc
		kept.Head, kept.Tail = nil, nil
		if after := Recover(path, &kept).Document(); !bytes.Equal(after.Head, head) || !bytes.Equal(after.Tail, tail) {
			t.Fatalf("%d bytes, limit %d: %d+%d read back", len(data), limit, len(after.Head), len(after.Tail))
		}
		if raw, err := ReadStored(path, 0, 1<<20); err != nil || !bytes.Equal(raw, data[:stored]) {
			t.Fatalf("the file holds %d bytes, %v", len(raw), err)
		}
	})
}

// takesSlowly is what a glob means, part by part, said as simply as can be.
func takesSlowly(pattern, parts []string) bool {
	switch {
	case len(pattern) == 0:
		return len(parts) == 0
	case pattern[0] == "**":
		return takesSlowly(pattern[1:], parts) || len(parts) > 0 && takesSlowly(pattern, parts[1:])
	case len(parts) == 0:
		return false
	}
	ok, err := path.Match(pattern[0], parts[0])
	return ok && err == nil && takesSlowly(pattern[1:], parts[1:])
}

func FuzzGlob(f *testing.F) {
	f.Add("**/a*/**/b", "x/ab/y/b")
	f.Add("**", "a/b")
	f.Add("a/**/**/b/*.csv", "a/b/b/b/c.csv")
	f.Add("[a-", "[a-")
	f.Fuzz(func(t *testing.T, glob, name string) {
		pattern, parts := strings.Split(glob, "/"), strings.Split(name, "/")
		if len(pattern) > 8 || len(parts) > 8 {
			t.Skip("the simple way takes too long")
		}
		if got, want := matches(pattern, parts), takesSlowly(pattern, parts); got != want {
			t.Fatalf("%q of %q: %v, want %v", glob, name, got, want)
		}
	})
}
