// Package walk visits a directory tree that belongs to an enemy: bounded in
// memory, depth and time, and never led out of the tree by a link that
// appears meanwhile. (filepath.WalkDir reads whole directories into memory and
// opens by path.)
package walk

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxDepth = 256 // one open descriptor a level; node_modules reaches some 30
	chunk    = 256 // names read at a time
)

// Why a tree was not visited whole. What was visited was visited: all but what
// lies too deep, or what there was time for.
var (
	ErrTooDeep  = fmt.Errorf("directories are nested more than %d levels deep", maxDepth)
	ErrTooLarge = errors.New("there are more files than can be visited in time")
)

// Visit is called for every entry, before those below it, with its path
// relative to the root. Dot entries of the kernel are left out.
type Visit func(path string, info *unix.Stat_t)

type walker struct {
	visit    Visit
	deadline time.Time
	late     bool
	deep     bool
}

// Tree visits all below dir, in no order, for at most that long.
func Tree(dir string, limit time.Duration, visit Visit) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open "+dir, err)
	}
	w := &walker{visit: visit, deadline: time.Now().Add(limit)}
	w.directory(os.NewFile(uintptr(fd), dir), "", 0)
	switch {
	case w.late:
		return ErrTooLarge
	case w.deep:
		return ErrTooDeep
	}
	return nil
}

func (w *walker) directory(dir *os.File, prefix string, depth int) {
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(chunk)
		for _, name := range names {
			w.entry(int(dir.Fd()), name, prefix+name, depth)
		}
		if time.Now().After(w.deadline) {
			w.late = true
		}
		if err != nil || w.late { // io.EOF, or gone
			return
		}
	}
}

func (w *walker) entry(parent int, name, path string, depth int) {
	var info unix.Stat_t
	if unix.Fstatat(parent, name, &info, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return // gone
	}
	w.visit(path, &info)
	if info.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	if depth+1 >= maxDepth {
		w.deep = true
		return
	}
	if dir := openDirectory(parent, name, path, info.Mode); dir != nil {
		w.directory(dir, path+"/", depth+1)
	}
}

// openDirectory opens also what its owner, who is us, has made unreadable: a
// program must not hide what it stores behind chmod.
func openDirectory(parent int, name, path string, mode uint32) *os.File {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, name, flags, 0)
	if errors.Is(err, unix.EACCES) && unix.Fchmodat(parent, name, mode&0o7777|0o500, 0) == nil {
		fd, err = unix.Openat(parent, name, flags, 0)
		defer func() { _ = unix.Fchmodat(parent, name, mode&0o7777, 0) }()
	}
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), path)
}
