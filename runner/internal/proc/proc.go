// Package proc reads /proc: the process tree, memory, I/O and network
// figures. See proc(5), https://man7.org/linux/man-pages/man5/proc.5.html.
// Everything here is a snapshot: a process may be gone, or have children
// more, by the time a caller acts on it.
package proc

import (
	"bytes"
	"os"
	"strconv"
)

// Tree is a snapshot of who is whose parent.
type Tree struct {
	Parent   map[int]int // by pid
	children map[int][]int
}

// Usable tells whether /proc shows the caller's own PID namespace. It does
// not after `unshare --pid` without a new mount: then its numbers belong to
// other processes, and acting on them would hit strangers.
func Usable() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// List gives the pids in /proc.
func List() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if name[0] >= '1' && name[0] <= '9' {
			if pid, err := strconv.Atoi(name); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids, err
}

// ReadTree takes a snapshot of all processes that are not zombies.
func ReadTree() (*Tree, error) {
	return readTree(func(state byte) bool { return state != 'Z' && state != 'X' })
}

// ReadWholeTree takes one of all processes.
func ReadWholeTree() (*Tree, error) { return readTree(func(byte) bool { return true }) }

func readTree(wanted func(state byte) bool) (*Tree, error) {
	pids, err := List()
	if err != nil {
		return nil, err
	}
	t := &Tree{Parent: make(map[int]int, len(pids)), children: make(map[int][]int, len(pids))}
	for _, pid := range pids {
		parent, state, ok := stat(pid)
		if !ok || !wanted(state) {
			continue
		}
		t.Parent[pid] = parent
		t.children[parent] = append(t.children[parent], pid)
	}
	return t, nil
}

// stat reads the parent and the state from /proc/pid/stat. The command in
// parentheses may itself hold parentheses and spaces: the last ")" ends it.
func stat(pid int) (parent int, state byte, ok bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, false
	}
	end := bytes.LastIndexByte(raw, ')')
	if end < 0 || len(raw) < end+5 {
		return 0, 0, false
	}
	fields := bytes.Fields(raw[end+1:])
	if len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return parent, fields[0][0], err == nil
}

// AnyRuns tells whether one of the processes has work at hand: it runs, waits
// for a CPU, or for a disk. Of one with several threads the first is looked at.
func AnyRuns(pids []int) bool {
	for _, pid := range pids {
		if _, state, ok := stat(pid); ok && (state == 'R' || state == 'D') {
			return true
		}
	}
	return false
}

// Descendants gives all processes below root, root itself not included, and
// nothing below a pid for which skip is true (nor that pid).
func (t *Tree) Descendants(root int, skip func(int) bool) []int {
	var out []int
	queue := []int{root}
	for len(queue) > 0 {
		pid := queue[0]
		queue = queue[1:]
		for _, child := range t.children[pid] {
			if child == root || (skip != nil && skip(child)) {
				continue
			}
			out = append(out, child)
			queue = append(queue, child)
		}
	}
	return out
}

// Memory gives the private and the shared part of a process's resident
// memory, in bytes, from /proc/pid/statm.
func Memory(pid int) (private, shared int64) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, 0
	}
	fields := bytes.Fields(raw)
	if len(fields) < 3 {
		return 0, 0
	}
	resident, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	common, _ := strconv.ParseInt(string(fields[2]), 10, 64)
	page := int64(os.Getpagesize())
	return max(resident-common, 0) * page, common * page
}

// TreeMemory estimates what a set of processes holds together: the sum of
// their private parts and the largest shared part, since what forked
// processes share is mostly the same.
func TreeMemory(pids []int) int64 {
	var sum, largest int64
	for _, pid := range pids {
		private, shared := Memory(pid)
		sum += private
		largest = max(largest, shared)
	}
	return sum + largest
}

// Threads is how many threads the calling process has.
func Threads() int {
	if threads := ThreadIDs(); threads != nil {
		return len(threads)
	}
	return 16 // more than were ever seen
}

// ThreadIDs are those of the calling process; nil where /proc is not its own.
func ThreadIDs() (ids []int) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		if id, err := strconv.Atoi(task.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
