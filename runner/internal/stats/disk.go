package stats

import (
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Disk measures what directories use. An emptyDir has no quota of its own
// (the kubelet evicts the whole pod, many seconds late), so the runner counts.
type Disk struct {
	dirs []string

	mu   sync.Mutex
	used int64
	at   time.Time
	took time.Duration
}

// NewDisk measures these directories together.
func NewDisk(dirs ...string) *Disk { return &Disk{dirs: dirs} }

// Used gives the bytes in use, not older than maxAge, unless measuring takes
// long: at most a tenth of the time is spent on it.
func (d *Disk) Used(maxAge time.Duration) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.at.IsZero() && time.Since(d.at) < max(maxAge, 10*d.took) {
		return d.used
	}
	begin := time.Now()
	d.used = 0
	linked := map[[2]uint64]struct{}{}
	for _, dir := range d.dirs {
		d.used += measureTree(dir, linked)
	}
	d.at = time.Now()
	d.took = d.at.Sub(begin)
	return d.used
}

// measureTree adds up the blocks of a tree, a file with several names once.
// Symlinks are not followed. A program that changes the tree meanwhile makes
// the sum a little wrong, never endless.
func measureTree(dir string, linked map[[2]uint64]struct{}) (sum int64) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone, or made unreadable
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if stat.Nlink > 1 && !entry.IsDir() {
			id := [2]uint64{uint64(stat.Dev), stat.Ino}
			if _, seen := linked[id]; seen {
				return nil
			}
			linked[id] = struct{}{}
		}
		sum += stat.Blocks * 512
		return nil
	})
	return sum
}
