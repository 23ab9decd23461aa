package proc

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Bounds of one look, so that it ends.
const (
	maxDescriptors         = 20_000
	maxDescriptorsThorough = 200_000
)

// Held is what processes hold on disk that has no name any more.
type Held struct {
	Bytes int64
	// Hidden are the processes that could not be looked into.
	Hidden map[int]struct{}
	// Unmeasured says what was found that has no size one could see; empty: nothing.
	Unmeasured string

	dirs   []string
	seen   map[[2]uint64]struct{}
	inodes map[uint64]struct{}
	looked int
}

// NewHeld is for files below these directories.
func NewHeld(dirs []string) *Held {
	return &Held{dirs: dirs, Hidden: map[int]struct{}{}, seen: map[[2]uint64]struct{}{}, inodes: map[uint64]struct{}{}}
}

// Look counts what the processes hold open.
func (h *Held) Look(pids []int) {
	for _, pid := range pids {
		h.descriptors(pid, "/proc/"+strconv.Itoa(pid)+"/", maxDescriptors, false)
	}
}

// LookThoroughly also looks at the descriptors of each thread, at descriptors
// on their way through sockets, and at mappings. The processes should be
// stopped.
func (h *Held) LookThoroughly(pids []int) {
	for _, pid := range pids {
		base := "/proc/" + strconv.Itoa(pid) + "/task/"
		threads, _ := os.ReadDir(base)
		for _, thread := range threads {
			h.descriptors(pid, base+thread.Name()+"/", maxDescriptorsThorough, true)
		}
	}
	for _, pid := range pids {
		base := "/proc/" + strconv.Itoa(pid) + "/task/"
		threads, _ := os.ReadDir(base)
		for _, thread := range threads { // the first may be a zombie, and the memory is all of theirs
			if h.mappings(base + thread.Name() + "/maps") {
				break
			}
		}
	}
}

func (h *Held) descriptors(pid int, base string, most int, thorough bool) {
	dir, err := os.Open(base + "fd")
	if errors.Is(err, fs.ErrPermission) {
		h.Hidden[pid] = struct{}{}
		h.Unmeasured = "a process that cannot be looked into"
	}
	if err != nil {
		return
	}
	names, _ := dir.Readdirnames(most - h.looked + 1)
	_ = dir.Close()
	h.looked += len(names)
	if h.looked > most {
		h.Unmeasured = "more open files than can be looked at"
		h.looked = most
		return
	}
	for _, name := range names {
		link, err := os.Readlink(base + "fd/" + name)
		switch {
		case err != nil:
		case thorough && strings.HasPrefix(link, "socket:") && carriesDescriptors(base+"fdinfo/"+name):
			h.Unmeasured = "descriptors on their way through a socket"
		case strings.HasSuffix(link, deleted) && below(link, h.dirs):
			h.add(base + "fd/" + name)
		}
	}
}

// deleted is what the kernel adds to the name of a file that has none.
const deleted = " (deleted)"

func (h *Held) add(path string) {
	var info unix.Stat_t
	if unix.Stat(path, &info) != nil || info.Nlink > 0 {
		return
	}
	id := [2]uint64{info.Dev, info.Ino}
	if _, double := h.seen[id]; !double {
		h.seen[id] = struct{}{}
		h.inodes[info.Ino] = struct{}{}
		h.Bytes += info.Blocks * 512
	}
}

// carriesDescriptors reads "scm_fds: N", which sockets have since Linux 5.5.
func carriesDescriptors(fdinfo string) bool {
	raw, err := os.ReadFile(fdinfo)
	if err != nil {
		return false
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if count, ok := strings.CutPrefix(line, "scm_fds:"); ok {
			return strings.TrimSpace(count) != "0"
		}
	}
	return false
}

// mappings looks for files that are mapped, have no name, and are open nowhere:
// their size is not to be had without privileges (/proc/pid/map_files). It
// reports whether there was a memory to look at.
func (h *Held) mappings(path string) (some bool) {
	maps, err := os.Open(path)
	if err != nil {
		return false
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		some = true
		// "7f00-7f01 r--p 00000000 fe:00 1234    /tmp/x (deleted)"
		fields := strings.SplitN(lines.Text(), " ", 6)
		if len(fields) < 6 || !strings.HasSuffix(fields[5], deleted) || !below(strings.TrimLeft(fields[5], " "), h.dirs) {
			continue
		}
		inode, err := strconv.ParseUint(fields[4], 10, 64)
		if _, open := h.inodes[inode]; err == nil && !open {
			h.Unmeasured = "a mapping of a deleted file"
		}
	}
	return some
}

func below(path string, dirs []string) bool {
	for _, dir := range dirs {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// Frozen are processes that were stopped.
type Frozen []int

// Freeze stops all processes that list gives, also those made meanwhile, and
// leaves alone those that are stopped already. List must give parents before
// their children.
func Freeze(list func() []int) (frozen Frozen) {
	done := map[int]struct{}{}
	for range 20 { // a fork bomb is caught up with: who is stopped makes no more
		more := false
		for _, pid := range list() {
			if _, known := done[pid]; known {
				continue
			}
			done[pid], more = struct{}{}, true
			if _, state, ok := stat(pid); ok && state != 'T' && state != 't' && syscall.Kill(pid, syscall.SIGSTOP) == nil {
				frozen = append(frozen, pid)
			}
		}
		if !more {
			break
		}
	}
	return frozen
}

// Thaw lets them go on, children before their parents: a shell with job control
// that went on first would see a child that stopped, and put it in the background.
func (f Frozen) Thaw() {
	for _, pid := range slices.Backward(f) {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}
