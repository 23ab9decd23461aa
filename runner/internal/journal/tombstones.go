package journal

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/ownfile"
)

// A tombstone is 16 bytes of a hash: a sandbox may see a hundred thousand
// executions in its life, and a file each would fill the tmpfs at 1,024.
type tombstone [16]byte

func tombstoneOf(uid string, attempt int) (t tombstone) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", uid, attempt))
	copy(t[:], sum[:])
	return t
}

// maxTombstones bounds file (2 MiB) and memory (about 5 MiB). Past it the
// older half goes. By then the operator has long written the final status of
// those executions and will not ask for them again.
const maxTombstones = 1 << 17

// Tombstones is the set of released executions, in order of release.
type Tombstones struct {
	path string
	most int

	mu    sync.Mutex
	file  *os.File
	set   map[tombstone]struct{}
	order []tombstone
}

func openTombstones(path string) (*Tombstones, error) {
	raw, err := ownfile.Read(path, maxTombstones*int64(len(tombstone{})))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	t := &Tombstones{path: path, most: maxTombstones, set: map[tombstone]struct{}{}}
	whole := len(raw) - len(raw)%len(tombstone{})
	for i := 0; i < whole; i += len(tombstone{}) {
		t.insert(tombstone(raw[i : i+len(tombstone{})]))
	}
	if t.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, err
	}
	if len(t.order)*len(tombstone{}) < whole { // doubles, which we never write: places would be wrong
		return t, t.rewrite(t.order)
	}
	return t, t.file.Truncate(int64(whole)) // a last one may have been cut off
}

func (t *Tombstones) insert(stone tombstone) {
	if _, there := t.set[stone]; !there {
		t.set[stone] = struct{}{}
		t.order = append(t.order, stone)
	}
}

func (t *Tombstones) has(uid string, attempt int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, there := t.set[tombstoneOf(uid, attempt)]
	return there
}

func (t *Tombstones) add(uid string, attempt int) error {
	stone := tombstoneOf(uid, attempt)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.set[stone]; there {
		return nil
	}
	if len(t.order) >= t.most {
		if err := t.forgetHalf(); err != nil {
			return err
		}
	}
	end := int64(len(t.order) * len(stone))
	_, err := t.file.WriteAt(stone[:], end)
	if err == nil {
		err = t.file.Sync()
	}
	if err != nil {
		_ = t.file.Truncate(end) // a part of it would shift all that follow
		return err
	}
	t.insert(stone)
	return nil
}

func (t *Tombstones) forgetHalf() error { return t.rewrite(t.order[len(t.order)/2:]) }

// rewrite makes a new file of these alone.
func (t *Tombstones) rewrite(keep []tombstone) error {
	raw := make([]byte, 0, len(keep)*len(tombstone{}))
	for _, stone := range keep {
		raw = append(raw, stone[:]...)
	}
	if err := writeFile(t.path, raw); err != nil {
		return err
	}
	file, err := os.OpenFile(t.path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	_ = t.file.Close()
	t.file, t.set, t.order = file, map[tombstone]struct{}{}, nil
	for _, stone := range keep {
		t.insert(stone)
	}
	return nil
}
