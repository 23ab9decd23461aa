package run

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// containersMessage is the file that the kubelet mounts into the state
// directory, terminationMessagePath. It lies on the node's disk, open to all,
// and nobody wants to hear from it.
const containersMessage = "termination"

// Where programs can leave memory and files beside workspace and TMPDIR.
var sharedMemoryDirs = []string{"/dev/shm", "/dev/mqueue"}

// sysvTables are the lists of System V objects: where in a line the id and the
// owner are, and the call that removes one, sysvipc(7).
var sysvTables = []struct {
	path      string
	owner     int
	removable func(id int) (trap, a1, a2, a3 uintptr)
}{
	{"/proc/sysvipc/shm", 7, func(id int) (trap, a1, a2, a3 uintptr) { return unix.SYS_SHMCTL, uintptr(id), unix.IPC_RMID, 0 }},
	{"/proc/sysvipc/msg", 7, func(id int) (trap, a1, a2, a3 uintptr) { return unix.SYS_MSGCTL, uintptr(id), unix.IPC_RMID, 0 }},
	{"/proc/sysvipc/sem", 4, func(id int) (trap, a1, a2, a3 uintptr) { return unix.SYS_SEMCTL, uintptr(id), 0, unix.IPC_RMID }},
}

// trashName is the directory in which what a run left waits to be removed, made
// only when there is something that is not removed at once.
const trashName = ".soulbox-trash"

// scrubLimit bounds how long the next run waits for scrub: in it some hundred
// thousand names are removed.
const scrubLimit = 500 * time.Millisecond

// scrub removes what the last run left outside of the workspace: files in
// shared memory count as the pod's memory, to whoever comes next. Only in a
// pod, where the UID is its own and everything of it is a program's. Call it
// when no run is active; none begins meanwhile.
//
// A program can leave millions of files, and the next run shall not wait until
// they are removed: directories are moved aside first, which is quick however
// much is in them, and emptied in the background.
func (m *Manager) scrub() {
	message := filepath.Join(m.config.StateDir, containersMessage)
	if file, err := os.OpenFile(message, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0); err == nil {
		_ = file.Truncate(0) // EINVAL: no regular file
		_ = file.Close()
	}
	if !m.reaper.Alone() || os.Geteuid() == 0 {
		return
	}
	removeSysvObjects()
	m.empty(append([]string{m.config.TmpDir}, sharedMemoryDirs...))
}

// empty removes all of ours in the directories.
func (m *Manager) empty(dirs []string) {
	begin := time.Now()
	moved, rest := false, []string(nil)
	for _, dir := range dirs {
		some, all := moveAside(dir, math.MaxInt64, begin.Add(scrubLimit))
		moved = moved || some
		if !all {
			rest = append(rest, dir)
		}
	}
	if !moved && rest == nil {
		return
	}
	first, done := m.trash.TryLock(), make(chan struct{})
	go func() {
		if !first {
			m.trash.Lock()
		}
		defer m.trash.Unlock()
		defer close(done)
		for _, dir := range rest { // programs run meanwhile: what they made or changed is younger
			moveAside(dir, begin.UnixNano(), time.Time{})
		}
		for _, dir := range dirs {
			removeTree(filepath.Join(dir, trashName))
		}
	}()
	if first {
		select {
		case <-done:
		case <-time.After(time.Until(begin.Add(scrubLimit))):
		}
	}
}

// moveAside unlinks what is ours in dir and was not changed after a moment (in
// Unix nanoseconds); directories it moves into the trash. All is false when the
// deadline, if there is one, came first.
func moveAside(dir string, changedBefore int64, deadline time.Time) (moved, all bool) {
	file, err := os.Open(dir)
	if err != nil {
		return false, true
	}
	defer file.Close()
	for again := true; again; { // what is removed may hide another name from the reader
		again = false
		_, _ = file.Seek(0, io.SeekStart)
		for err = nil; err == nil; {
			var names []string
			names, err = file.Readdirnames(256)
			for _, name := range names {
				switch forget(filepath.Join(dir, name), changedBefore) {
				case wasMoved:
					moved, again = true, true
				case wasRemoved:
					again = true
				}
			}
			if !deadline.IsZero() && time.Now().After(deadline) {
				return moved, false
			}
		}
	}
	return moved, true
}

type fate int

const (
	stays fate = iota
	wasRemoved
	wasMoved
)

func forget(path string, changedBefore int64) fate {
	var info unix.Stat_t
	switch {
	case filepath.Base(path) == trashName, unix.Lstat(path, &info) != nil, int(info.Uid) != os.Geteuid(),
		info.Ctim.Nano() > changedBefore:
		return stays
	case info.Mode&unix.S_IFMT == unix.S_IFDIR:
		return moveDirectory(path, info.Mode)
	case unix.Unlink(path) == nil:
		return wasRemoved
	}
	return stays
}

var trashCount atomic.Int64

func moveDirectory(path string, mode uint32) fate {
	trash := filepath.Join(filepath.Dir(path), trashName)
	// Of a directory that goes elsewhere the entry ".." is written.
	_ = os.Chmod(path, os.FileMode(mode&0o777)|0o700)
	_ = os.Mkdir(trash, 0o700)
	if os.Rename(path, filepath.Join(trash, strconv.FormatInt(trashCount.Add(1), 10))) == nil {
		return wasMoved
	}
	// A program put something in the trash's place, or the disk is full.
	removeTree(path)
	if _, err := os.Lstat(path); err == nil {
		return stays
	}
	return wasRemoved
}

func removeSysvObjects() {
	owner := strconv.Itoa(os.Geteuid())
	for _, table := range sysvTables {
		raw, _ := os.ReadFile(table.path)
		for line := range strings.SplitSeq(string(raw), "\n") {
			fields := strings.Fields(line)
			if len(fields) <= table.owner || fields[table.owner] != owner {
				continue
			}
			if id, err := strconv.Atoi(fields[1]); err == nil {
				trap, a1, a2, a3 := table.removable(id)
				_, _, _ = syscall.Syscall(trap, a1, a2, a3)
			}
		}
	}
}
