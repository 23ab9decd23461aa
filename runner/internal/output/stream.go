// Package output keeps what a program writes: a bounded part in memory for
// replies, the rest on disk up to a limit, and a count and hash of all of it.
// It also keeps the files a program leaves (files.go).
package output

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// readBytes is the size of one read from a pipe: a pipe's default capacity.
const readBytes = 64 << 10

// Stream takes one stream of one run. Copy is its only writer; everything
// else may be called at any time.
type Stream struct {
	path  string
	limit int64
	tee   func([]byte)

	mu         sync.Mutex
	file       *os.File
	head       []byte
	tail       ring
	bytes      int64
	stored     int64
	storeError error
	hash       hash.Hash
}

// NewStream stores up to limit bytes in a new file. When the file cannot be
// made, as on a full disk, the stream is still read, counted and hashed. Tee,
// if not nil, sees every block and must neither keep nor block it.
func NewStream(path string, limit int64, tee func([]byte)) *Stream {
	s := &Stream{path: path, limit: limit, tee: tee, hash: sha256.New()}
	s.file, s.storeError = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	return s
}

// Copy reads until the stream ends. It goes on whatever happens to the disk:
// a program must never wait because its output is not wanted any more.
func (s *Stream) Copy(r io.Reader) {
	buf := make([]byte, readBytes)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			s.take(buf[:n])
		}
		if err != nil {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

func (s *Stream) take(block []byte) {
	stored, err := s.store(block)
	s.mu.Lock()
	// Together, or a reader would see more bytes stored than written.
	s.stored += stored
	s.storeError = err
	s.hash.Write(block)
	s.bytes += int64(len(block))
	rest := block
	if room := wire.HeadBytes - len(s.head); room > 0 {
		n := min(room, len(rest))
		s.head = append(s.head, rest[:n]...)
		rest = rest[n:]
	}
	s.tail.write(rest)
	s.mu.Unlock()
	if s.tee != nil {
		s.tee(block)
	}
}

// store appends what the limit allows and tells how much that was. It runs
// without the lock: a slow disk must not hold up replies. After an error nothing
// more is stored, or the file would have a hole.
func (s *Stream) store(block []byte) (int64, error) {
	room := s.limit - s.stored
	if s.file == nil || s.storeError != nil || room <= 0 {
		return 0, s.storeError
	}
	n, err := s.file.Write(block[:min(room, int64(len(block)))])
	return int64(n), err
}

// Err tells why not all of the allowed bytes could be stored.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.storeError
}

// Document describes the stream as it is now.
func (s *Stream) Document() wire.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Stream{
		Head:        append([]byte{}, s.head...),
		Tail:        s.tail.bytes(),
		Bytes:       s.bytes,
		StoredBytes: s.stored,
		Truncated:   s.stored < s.bytes,
		SHA256:      hex.EncodeToString(s.hash.Sum(nil)),
	}
}

// Sizes gives the bytes written and the bytes stored so far.
func (s *Stream) Sizes() (total, stored int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes, s.stored
}

// ring keeps the last wire.TailBytes written to it. It grows only as needed.
type ring struct {
	buf  []byte
	next int // where the oldest byte is, once buf is full
}

func (t *ring) write(block []byte) {
	if len(block) >= wire.TailBytes {
		t.buf = append(t.buf[:0], block[len(block)-wire.TailBytes:]...)
		t.next = 0
		return
	}
	if room := wire.TailBytes - len(t.buf); room > 0 {
		n := min(room, len(block))
		t.buf = append(t.buf, block[:n]...)
		block = block[n:]
	}
	for len(block) > 0 {
		n := copy(t.buf[t.next:], block)
		block = block[n:]
		t.next = (t.next + n) % wire.TailBytes
	}
}

func (t *ring) bytes() []byte {
	if len(t.buf) < wire.TailBytes {
		return append([]byte{}, t.buf...)
	}
	return append(append(make([]byte, 0, len(t.buf)), t.buf[t.next:]...), t.buf[:t.next]...)
}
