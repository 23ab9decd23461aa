package output

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"github.com/soulbox-dev/soulbox/runner/internal/ownfile"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// When not all of a stream is stored, its head and tail are saved in files of
// their own, named after its path.
const (
	headSuffix = ".head"
	tailSuffix = ".tail"
)

// SaveEnds writes head and tail beside the stored bytes when these do not
// contain them, so that a new runner process can still give them.
func (s *Stream) SaveEnds() error {
	doc := s.Document()
	if !doc.Truncated {
		return nil
	}
	if err := ownfile.Write(s.path+headSuffix, doc.Head); err != nil {
		return err
	}
	return ownfile.Write(s.path+tailSuffix, doc.Tail)
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
	if out.Truncated {
		out.Head, _ = ownfile.Read(path+headSuffix, wire.HeadBytes)
		out.Tail, _ = ownfile.Read(path+tailSuffix, wire.TailBytes)
	} else {
		length := min(max(out.StoredBytes-wire.HeadBytes, 0), wire.TailBytes)
		out.Head, _ = ReadStored(path, 0, wire.HeadBytes)
		out.Tail, _ = ReadStored(path, out.StoredBytes-length, length)
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
	if f, err := ownfile.Open(path); err == nil {
		size, _ = io.Copy(hash, f)
		_ = f.Close()
	}
	return wire.Stream{Bytes: size, StoredBytes: size, SHA256: hex.EncodeToString(hash.Sum(nil))}
}

// Document describes the stream.
func (r *Recovered) Document() wire.Stream { return r.doc }

// Sizes gives the bytes written and the bytes stored.
func (r *Recovered) Sizes() (total, stored int64) { return r.doc.Bytes, r.doc.StoredBytes }

// SaveEnds does nothing: they are on disk already.
func (r *Recovered) SaveEnds() error { return nil }

// ReadStored reads at most that many bytes from an offset; none beyond the
// end or where the file does not exist.
func ReadStored(path string, offset int64, most int64) ([]byte, error) {
	file, length, err := OpenStored(path, offset, most)
	if file == nil {
		return nil, err
	}
	defer file.Close()
	buf := make([]byte, length)
	n, err := io.ReadFull(file, buf)
	return buf[:n], err
}

// OpenStored opens a file at an offset and tells how many bytes there are to
// read, at most that many. The file is nil when there are none.
func OpenStored(path string, offset, most int64) (file *os.File, length int64, err error) {
	file, err = ownfile.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil // it could not be made: the disk was full
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err == nil {
		if length = min(most, info.Size()-offset); length > 0 {
			return file, length, nil
		}
	}
	_ = file.Close()
	return nil, 0, err
}
