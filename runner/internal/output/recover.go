package output

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// tailSuffix names the file that holds the tail of a stream whose end was not
// stored.
const tailSuffix = ".tail"

// SaveTail writes the tail beside the stored bytes when they do not contain
// it, so that a new runner process can still give it.
func (s *Stream) SaveTail() error {
	doc := s.Document()
	if !doc.Truncated || len(doc.Tail) == 0 {
		return nil
	}
	return os.WriteFile(s.path+tailSuffix, doc.Tail, 0o600)
}

// Recovered is a stream of an earlier runner process, read back from disk.
type Recovered struct{ doc wire.Stream }

// Recover reads a stream back. Doc is what the journal kept of it, without
// head and tail; nil when the run had not ended, and then what is on disk
// counts as all there was.
func Recover(path string, doc *wire.Stream) *Recovered {
	out := wire.Stream{}
	if doc != nil {
		out = *doc
	} else {
		out = measure(path)
	}
	out.Head, _ = ReadStored(path, 0, wire.HeadBytes)
	if rest := out.StoredBytes - wire.HeadBytes; !out.Truncated && rest > 0 {
		length := min(rest, wire.TailBytes)
		out.Tail, _ = ReadStored(path, out.StoredBytes-length, int(length))
	} else if out.Truncated {
		out.Tail, _ = os.ReadFile(path + tailSuffix)
	}
	if out.Head == nil {
		out.Head = []byte{}
	}
	if out.Tail == nil {
		out.Tail = []byte{}
	}
	return &Recovered{doc: out}
}

func measure(path string) wire.Stream {
	hash := sha256.New()
	var size int64
	if f, err := os.Open(path); err == nil {
		size, _ = io.Copy(hash, f)
		_ = f.Close()
	}
	return wire.Stream{Bytes: size, StoredBytes: size, SHA256: hex.EncodeToString(hash.Sum(nil))}
}

// Document describes the stream.
func (r *Recovered) Document() wire.Stream { return r.doc }

// Sizes gives the bytes written and the bytes stored.
func (r *Recovered) Sizes() (total, stored int64) { return r.doc.Bytes, r.doc.StoredBytes }

// SaveTail does nothing: it is on disk already.
func (r *Recovered) SaveTail() error { return nil }

// ReadStored reads at most that many bytes from an offset; none beyond the
// end or where the file does not exist.
func ReadStored(path string, offset int64, most int) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if offset >= info.Size() {
		return nil, nil
	}
	buf := make([]byte, min(int64(most), info.Size()-offset))
	n, err := f.ReadAt(buf, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}
