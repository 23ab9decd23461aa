package launch

import "golang.org/x/sys/unix"

const (
	nativeArch = unix.AUDIT_ARCH_AARCH64
	// lastKnownCall is the newest call that was looked at.
	lastKnownCall = unix.SYS_OPEN_TREE_ATTR
)

// forbiddenHere are calls that only this architecture has.
var forbiddenHere []uint32
