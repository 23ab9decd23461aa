package launch

import (
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock (landlock(7)) is a second fence, used where the kernel has it: the
// program can send signals only within its run (Linux 6.12), it cannot read or
// change the runner's own directories although they have its UID, nor write
// below /proc, and it can trace or look into nothing outside of its run.
// Without it those directories stay reachable by path, and a program can kill
// its launcher, which ends its own run.

// Access that names a file or changes a directory. Listing is not among it: a
// directory whose listing is allowed would open all below it.
const fenced = unix.LANDLOCK_ACCESS_FS_READ_FILE | writing |
	unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
	unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
	unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
	unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR |
	unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_REFER

const writing = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE

// Of those, what may be asked for a file; the rest is for directories.
const fencedOnFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | writing

// Where nothing can be written: an oom_score_adj of its own choice makes the
// kernel take the runner first.
const procDir = "/proc"

// accessOf is what a version of Landlock can fence. Version 1 (Linux 5.13) is
// not used: with it rename(2) and link(2) from one directory to another fail
// everywhere, and programs do that (docs/decisions/0063).
func accessOf(version uintptr) uint64 {
	switch {
	case version >= 3:
		return fenced
	case version == 2: // truncate(2) by path stays possible
		return fenced &^ unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	return 0
}

// makeFences gives the rulesets to try, the best first; they stay open. It is
// best effort: what the kernel cannot do is left out.
func makeFences(hidden []string) (fences []int) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return nil
	}
	attr := unix.LandlockRulesetAttr{}
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
	}
	if access := accessOf(version); access != 0 && canHide(hidden) {
		withFiles := attr
		withFiles.Access_fs = access
		if rules, err := makeFence(&withFiles, hidden); err == nil {
			fences = append(fences, rules)
		}
	}
	if attr.Scoped != 0 {
		if rules, err := makeFence(&attr, nil); err == nil {
			fences = append(fences, rules)
		}
	}
	return fences
}

// makeFence makes one ruleset.
func makeFence(attr *unix.LandlockRulesetAttr, hidden []string) (int, error) {
	size := unsafe.Sizeof(*attr)
	if attr.Scoped == 0 { // an older kernel knows only the first member
		size = unsafe.Sizeof(attr.Access_fs)
	}
	// The descriptor is close-on-exec.
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(attr)), size, 0)
	if errno != 0 {
		return 0, os.NewSyscallError("landlock_create_ruleset", errno)
	}
	if attr.Access_fs != 0 {
		if err := allowAllBut(int(rules), attr.Access_fs, "/", hidden); err != nil {
			_ = unix.Close(int(rules))
			return 0, err
		}
	}
	return int(rules), nil
}

// canHide tells whether the fence takes away nothing else. Landlock only
// allows, so hiding /run/x means to allow every entry of / but run and every
// entry of /run but x; what is made in / or /run later is then outside. That
// is harmless only when the program could make nothing there anyway, as on a
// read-only root file system.
func canHide(hidden []string) bool {
	for _, dir := range hidden {
		if !filepath.IsAbs(dir) {
			return false
		}
		for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
			if unix.Access(parent, unix.W_OK) == nil {
				return false
			}
			if parent == "/" {
				break
			}
		}
	}
	return len(hidden) > 0
}

// allowAllBut allows everything below dir except the hidden directories.
func allowAllBut(rules int, access uint64, dir string, hidden []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch {
		case isHidden(path, hidden):
		case entry.Type()&os.ModeSymlink != 0:
			// What counts is where a path ends: a rule for /var/run would
			// open all of /run.
		case isAbove(path, hidden):
			if err := allowAllBut(rules, access, path, hidden); err != nil {
				return err
			}
		case path == procDir:
			if err := allow(rules, access&^writing, path); err != nil {
				return err
			}
		default:
			if err := allow(rules, access, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func isHidden(path string, hidden []string) bool {
	for _, dir := range hidden {
		if path == dir {
			return true
		}
	}
	return false
}

func isAbove(path string, hidden []string) bool {
	for _, dir := range hidden {
		if strings.HasPrefix(dir, path+"/") {
			return true
		}
	}
	return false
}

func allow(rules int, access uint64, path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // gone meanwhile, or not ours to open: then not to allow either
	}
	defer unix.Close(fd)
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	if info.Mode&unix.S_IFMT != unix.S_IFDIR {
		attr.Allowed_access &= fencedOnFiles
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules),
		unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_add_rule "+path, errno)
	}
	return nil
}
