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
	file string

	measuring sync.Mutex // held for seconds, perhaps: Last does not wait for it
	at        time.Time
	took      time.Duration

	mu   sync.Mutex
	used int64
	gap  error
}

// NewDisk measures these directories together, and one file that lies elsewhere.
func NewDisk(file string, dirs ...string) *Disk { return &Disk{dirs: dirs, file: file} }

// Dirs are the directories that are measured.
func (d *Disk) Dirs() []string { return d.dirs }

// Used gives the bytes in use, not older than maxAge unless measuring takes
// long: at most a tenth of the time is spent on it. The gap, an error of package
// walk, says why there is more than was counted; nil when there is not.
func (d *Disk) Used(maxAge time.Duration) (used int64, gap error) {
	d.measuring.Lock()
	defer d.measuring.Unlock()
	if d.at.IsZero() || time.Since(d.at) >= max(maxAge, 10*d.took) {
		d.measure()
	}
	return d.Last()
}

// Measure gives the bytes in use now, however long that takes (measureLimit a
// directory): for what later measurements are compared with.
func (d *Disk) Measure() (used int64, gap error) {
	d.measuring.Lock()
	defer d.measuring.Unlock()
	d.measure()
	return d.Last()
}

func (d *Disk) measure() {
	begin := time.Now()
	used, gap := measure(d.dirs)
	var info unix.Stat_t
	if unix.Lstat(d.file, &info) == nil {
		used += info.Blocks * 512
	}
	d.at = time.Now()
	d.took = d.at.Sub(begin)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used, d.gap = used, gap
}

// Last gives the newest measurement without making one, or waiting for one.
func (d *Disk) Last() (used int64, gap error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used, d.gap
}

// leastBytes is what an entry counts at least: an empty file takes no block, but
// an inode, of which the node has not many more than it has blocks of this size.
const leastBytes = 4096

// Free is how many bytes are free on the file systems of the directories.
func (d *Disk) Free() (sum int64) {
	counted := map[unix.Fsid]struct{}{}
	for _, dir := range d.dirs {
		var info unix.Statfs_t
		if unix.Statfs(dir, &info) != nil {
			continue
		}
		if _, double := counted[info.Fsid]; !double {
			counted[info.Fsid] = struct{}{}
			sum += int64(info.Bfree) * info.Frsize
		}
	}
	return sum
}

// measure adds up the blocks of trees, a file with several names once.
// Symlinks are not followed.
func measure(dirs []string) (sum int64, gap error) {
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
			sum += max(info.Blocks*512, leastBytes)
		})
		if errors.Is(err, walk.ErrTooDeep) || errors.Is(err, walk.ErrTooLarge) {
			gap = err
		}
	}
	return sum, gap
}
