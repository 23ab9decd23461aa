package stats

import (
	"encoding/binary"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Memory in buffers of TCP and UDP is the node's: cgroup v1 charges it to no
// group (v2 does), and 300 connections of a pod to itself hold a gigabyte. So
// the runner asks the kernel, by sock_diag(7), for the sockets of its own user
// in its own network namespace.

const (
	diagByFamily   = 20 // SOCK_DIAG_BY_FAMILY
	diagMemory     = 7  // INET_DIAG_SKMEMINFO
	diagReplyBytes = 72 // struct inet_diag_msg
	diagOwnerAt    = 64 // idiag_uid in it
	diagWait       = time.Second
)

// Of SKMEMINFO, what is taken: received, forward, queued to be sent, backlog.
var diagTaken = []int{0, 4, 5, 7}

// SocketMemory is what sockets of a user hold in TCP and UDP; 0 where the kernel
// does not tell.
func SocketMemory(owner uint32) (bytes int64) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(diagWait.Nanoseconds())
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	buffer := make([]byte, 4*os.Getpagesize())
	for _, protocol := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
			if unix.Sendto(fd, diagRequest(family, protocol), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
				return bytes
			}
			for more := true; more; {
				n, _, err := unix.Recvfrom(fd, buffer, 0)
				if err != nil {
					return bytes
				}
				var some int64
				some, more = diagSum(buffer[:n], owner)
				bytes += some
			}
		}
	}
	return bytes
}

// diagRequest asks for all sockets: struct nlmsghdr, struct inet_diag_req_v2.
func diagRequest(family, protocol byte) []byte {
	raw := make([]byte, unix.NLMSG_HDRLEN+56)
	binary.NativeEndian.PutUint32(raw, uint32(len(raw)))
	binary.NativeEndian.PutUint16(raw[4:], diagByFamily)
	binary.NativeEndian.PutUint16(raw[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request := raw[unix.NLMSG_HDRLEN:]
	request[0], request[1], request[2] = family, protocol, 1<<(diagMemory-1)
	binary.NativeEndian.PutUint32(request[4:], 0xffffffff) // in any state
	return raw
}

// diagSum adds up one answer, and tells whether others follow.
func diagSum(raw []byte, owner uint32) (bytes int64, more bool) {
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return 0, false
	}
	for _, message := range messages {
		data := message.Data
		if message.Header.Type != diagByFamily { // NLMSG_DONE, or NLMSG_ERROR: no such protocol
			return bytes, false
		}
		if len(data) < diagReplyBytes || binary.NativeEndian.Uint32(data[diagOwnerAt:]) != owner {
			continue
		}
		for rest := data[diagReplyBytes:]; len(rest) >= unix.SizeofRtAttr; {
			length := int(binary.NativeEndian.Uint16(rest))
			if length < unix.SizeofRtAttr || length > len(rest) {
				break
			}
			if value := rest[unix.SizeofRtAttr:length]; binary.NativeEndian.Uint16(rest[2:]) == diagMemory {
				for _, at := range diagTaken {
					if 4*at+4 <= len(value) {
						bytes += int64(binary.NativeEndian.Uint32(value[4*at:]))
					}
				}
			}
			rest = rest[min((length+3)&^3, len(rest)):]
		}
	}
	return bytes, true
}
