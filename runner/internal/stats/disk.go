package stats

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/walk"
)

// measureLimit bounds one measurement. A guess: two million files.
const measureLimit = 5 * time.Second

// Disk measures what directories use. An emptyDir has no quota of its own
// (the kubelet evicts the whole pod, many seconds late), so the runner counts.
type Disk struct {
	dirs []string

	mu       sync.Mutex
	used     int64
	complete bool
	at       time.Time
	took     time.Duration
}

// NewDisk measures these directories together.
func NewDisk(dirs ...string) *Disk { return &Disk{dirs: dirs} }

// Dirs are the directories that are measured.
func (d *Disk) Dirs() []string { return d.dirs }

// Used gives the bytes in use, not older than maxAge unless measuring takes
// long: at most a tenth of the time is spent on it. Complete is false when
// there is more than could be visited.
func (d *Disk) Used(maxAge time.Duration) (used int64, complete bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() || time.Since(d.at) >= max(maxAge, 10*d.took) {
		begin := time.Now()
		d.used, d.complete = measure(d.dirs)
		d.at = time.Now()
		d.took = d.at.Sub(begin)
	}
	return d.used, d.complete
}

// Last gives the newest measurement without making one.
func (d *Disk) Last() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// measure adds up the blocks of trees, a file with several names once.
// Symlinks are not followed.
func measure(dirs []string) (sum int64, complete bool) {
	complete = true
	linked := map[[2]uint64]struct{}{}
	for _, dir := range dirs {
		err := walk.Tree(dir, measureLimit, func(_ string, info *unix.Stat_t) {
			if info.Nlink > 1 && info.Mode&unix.S_IFMT != unix.S_IFDIR {
				id := [2]uint64{info.Dev, info.Ino}
				if _, seen := linked[id]; seen {
					return
				}
				linked[id] = struct{}{}
			}
			sum += info.Blocks * 512
		})
		complete = complete && !errors.Is(err, walk.ErrIncomplete)
	}
	return sum, complete
}
