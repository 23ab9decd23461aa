package output

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// pieces gives a reader's data in pieces of random size.
type pieces struct {
	data   []byte
	random *rand.Rand
}

func (p *pieces) Read(buf []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := min(1+p.random.Intn(len(buf)), len(p.data))
	copy(buf, p.data[:n])
	p.data = p.data[n:]
	return n, nil
}

func TestStreamDescribesAnyOutputInAnyPieces(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	sizes := []int{0, 1, 32767, 32768, 32769, 65535, 65536, 65537, 98304, 500_000}
	for i := range 40 {
		size := sizes[i%len(sizes)]
		limit := []int64{1 << 30, 0, 1000, 65536, int64(size)}[i%5]
		data := make([]byte, size)
		random.Read(data)
		path := filepath.Join(t.TempDir(), "stdout")
		s := NewStream(path, limit, nil)
		s.Copy(&pieces{data, random})
		doc := s.Document()
		sum := sha256.Sum256(data)
		stored := min(int64(size), limit)
		head := data[:min(size, wire.HeadBytes)]
		tail := data[len(head):]
		tail = tail[max(0, len(tail)-wire.TailBytes):]
		if !bytes.Equal(doc.Head, head) || !bytes.Equal(doc.Tail, tail) || doc.Bytes != int64(size) ||
			doc.StoredBytes != stored || doc.Truncated != (stored < int64(size)) || doc.SHA256 != hex.EncodeToString(sum[:]) {
			t.Fatalf("size %d, limit %d: %d+%d bytes, stored %d of %d", size, limit, len(doc.Head), len(doc.Tail), doc.StoredBytes, doc.Bytes)
		}
		kept, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(kept, data[:stored]) {
			t.Fatalf("size %d, limit %d: the file holds %d bytes, %v", size, limit, len(kept), err)
		}
		if err := s.SaveEnds(); err != nil {
			t.Fatal(err)
		}
		slim := doc
		slim.Head, slim.Tail = nil, nil
		if again := Recover(path, &slim).Document(); !bytes.Equal(again.Head, doc.Head) ||
			!bytes.Equal(again.Tail, doc.Tail) || again.SHA256 != doc.SHA256 {
			t.Fatalf("size %d, limit %d: recovered %d+%d bytes, want %d+%d", size, limit, len(again.Head), len(again.Tail), len(doc.Head), len(doc.Tail))
		}
	}
}

func TestStreamWithoutAFileStillCounts(t *testing.T) {
	s := NewStream(filepath.Join(t.TempDir(), "missing", "stdout"), 100, nil)
	s.Copy(strings.NewReader("hello"))
	doc := s.Document()
	if doc.Bytes != 5 || doc.StoredBytes != 0 || !doc.Truncated || string(doc.Head) != "hello" || !errors.Is(s.Err(), os.ErrNotExist) {
		t.Errorf("%+v, %v", doc, s.Err())
	}
}

func TestStreamMayBeReadWhileItIsWritten(t *testing.T) {
	reader, writer := io.Pipe()
	s := NewStream(filepath.Join(t.TempDir(), "stdout"), 1<<20, func([]byte) {})
	var group sync.WaitGroup
	group.Go(func() { s.Copy(reader) })
	group.Go(func() {
		for range 200 {
			total, stored := s.Sizes()
			if doc := s.Document(); stored > total || doc.Bytes < total {
				t.Errorf("sizes %d, %d; then %d", total, stored, doc.Bytes)
			}
		}
	})
	for range 200 {
		_, _ = writer.Write(bytes.Repeat([]byte("x"), 1000))
	}
	_ = writer.Close()
	group.Wait()
}

func TestRecoverOfARunThatHadNotEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stdout")
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	doc := Recover(path, nil).Document()
	sum := sha256.Sum256([]byte("half"))
	if doc.Bytes != 4 || doc.Truncated || string(doc.Head) != "half" || doc.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v", doc)
	}
	if doc := Recover(path+"-gone", nil).Document(); doc.Bytes != 0 || doc.Head == nil || doc.Tail == nil {
		t.Errorf("of no file: %+v", doc)
	}
}

func TestReadStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		offset int64
		most   int64
		want   string
	}{{0, 100, "0123456789"}, {3, 4, "3456"}, {9, 5, "9"}, {10, 5, ""}, {1 << 40, 5, ""}, {0, 0, ""}} {
		got, err := ReadStored(path, c.offset, c.most)
		if err != nil || string(got) != c.want {
			t.Errorf("offset %d, most %d: %q, %v", c.offset, c.most, got, err)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		glob, path string
		want       bool
	}{
		{"*.png", "a.png", true}, {"*.png", "d/a.png", false}, {"*.png", "a.jpg", false},
		{"d/*", "d/a", true}, {"d/*", "d/e/a", false}, {"*/*", "d/a", true},
		{"**/*.csv", "a.csv", true}, {"**/*.csv", "d/e/a.csv", true}, {"**/*.csv", "d/e/a.txt", false},
		{"d/**", "d/a", true}, {"d/**", "d/e/f", true}, {"d/**", "e/a", false}, {"**", "any/thing", true},
		{"a/**/b/**/c", "a/b/c", true}, {"a/**/b/**/c", "a/x/b/y/b/z/c", true}, {"a/**/b/**/c", "a/x/c", false},
		{"**/**/**/**/**/**/**/**/x", strings.Repeat("y/", 500) + "z", false},
		{"[ab].txt", "b.txt", true}, {"?", "é", true},
	} {
		if got := matches(strings.Split(c.glob, "/"), strings.Split(c.path, "/")); got != c.want {
			t.Errorf("%s matches %s: %v", c.glob, c.path, got)
		}
	}
}

func TestLogKeepsNobodyWaiting(t *testing.T) {
	log := NewLog(io.Discard) // not started: nothing is ever taken
	for range 10_000 {
		log.Tee("a/1", "stdout", []byte("line\n"))
	}
	var out bytes.Buffer
	log.to = &out
	block := <-log.blocks
	block.text = []byte("one\n\nno end\xff")
	if err := log.write(newEncoder(&out), block); err != nil {
		t.Fatal(err)
	}
	want := `{"execution":"a/1","stream":"stdout","text":"one","droppedBlocks":1024}
{"execution":"a/1","stream":"stdout","text":""}
{"execution":"a/1","stream":"stdout","text":"no end�"}
`
	if out.String() != want {
		t.Errorf("got %s", out.String())
	}
}
