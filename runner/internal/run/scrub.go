package run

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

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

// scrub removes what the last run left outside of the workspace: files in
// shared memory count as the pod's memory, to whoever comes next. Only in a
// pod, where the UID is its own and everything of it is a program's. Call it
// when no run is active; none begins meanwhile.
func (m *Manager) scrub() {
	message := filepath.Join(m.config.StateDir, containersMessage)
	if file, err := os.OpenFile(message, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0); err == nil {
		_ = file.Truncate(0) // EINVAL: no regular file
		_ = file.Close()
	}
	owner := os.Geteuid()
	if !m.reaper.Alone() || owner == 0 {
		return
	}
	for _, dir := range append([]string{m.config.TmpDir}, sharedMemoryDirs...) {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			var info unix.Stat_t
			if unix.Lstat(path, &info) == nil && int(info.Uid) == owner {
				removeTree(path)
			}
		}
	}
	for _, table := range sysvTables {
		raw, _ := os.ReadFile(table.path)
		for line := range strings.SplitSeq(string(raw), "\n") {
			fields := strings.Fields(line)
			if len(fields) <= table.owner || fields[table.owner] != strconv.Itoa(owner) {
				continue
			}
			if id, err := strconv.Atoi(fields[1]); err == nil {
				trap, a1, a2, a3 := table.removable(id)
				_, _, _ = syscall.Syscall(trap, a1, a2, a3)
			}
		}
	}
}
