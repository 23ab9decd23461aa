package proc

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// IO holds the storage counters of /proc/pid/io.
type IO struct{ ReadBytes, WriteBytes int64 }

// IOFile reads the I/O counters of the calling process. They include those of
// every descendant it has waited for (the kernel adds them at wait), so the
// launcher's own file is the sum over its run.
type IOFile struct{ file *os.File }

// OpenSelfIO opens the counters. Do so before PR_SET_DUMPABLE 0, which gives
// the file to root; an open file stays readable.
func OpenSelfIO() *IOFile {
	f, err := os.Open("/proc/self/io")
	if err != nil {
		return nil // a kernel without task I/O accounting, or gVisor
	}
	return &IOFile{f}
}

// Read gives the counters now; ok is false where the kernel has none.
func (f *IOFile) Read() (io IO, ok bool) {
	if f == nil {
		return IO{}, false
	}
	buf := make([]byte, 512)
	n, _ := f.file.ReadAt(buf, 0)
	return parseIO(buf[:n])
}

func parseIO(raw []byte) (io IO, ok bool) {
	var cancelled int64
	seen := 0
	for line := range bytes.SplitSeq(raw, []byte("\n")) {
		name, value, found := strings.Cut(string(line), ": ")
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "read_bytes":
			io.ReadBytes = n
			seen++
		case "write_bytes":
			io.WriteBytes = n
			seen++
		case "cancelled_write_bytes": // dirty pages dropped before they reached the disk
			cancelled = n
		}
	}
	io.WriteBytes = max(io.WriteBytes-cancelled, 0)
	return io, seen == 2
}

// Network holds the counters of all interfaces but the loopback.
type Network struct{ RxBytes, TxBytes, RxPackets, TxPackets int64 }

// ReadNetwork sums /proc/net/dev; ok is false where it cannot be read.
func ReadNetwork() (sum Network, ok bool) {
	f, err := os.Open("/proc/net/dev")
	if err != nil {
		return Network{}, false
	}
	defer f.Close()
	return parseNetwork(f)
}

func parseNetwork(r io.Reader) (sum Network, ok bool) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, rest, found := strings.Cut(lines.Text(), ":")
		if !found {
			continue
		}
		ok = true
		fields := strings.Fields(rest)
		if strings.TrimSpace(name) == "lo" || len(fields) < 10 {
			continue
		}
		for i, into := range map[int]*int64{0: &sum.RxBytes, 1: &sum.RxPackets, 8: &sum.TxBytes, 9: &sum.TxPackets} {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			*into += n
		}
	}
	return sum, ok && lines.Err() == nil
}

// Written is what a process, with the children it has waited for, sent to
// storage; 0 where it cannot be read.
func Written(pid int) int64 {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
	if err != nil {
		return 0
	}
	io, _ := parseIO(raw)
	return io.WriteBytes
}

// maxDescriptors bounds one look through the descriptors of processes.
const maxDescriptors = 20000

// UnlinkedBytes adds up the files below dirs that have no name any more but
// are held open by one of the processes. Seen keeps a file from being counted
// twice over several calls.
func UnlinkedBytes(pids []int, dirs []string, seen map[[2]uint64]struct{}) (sum int64) {
	looked := 0
	for _, pid := range pids {
		base := "/proc/" + strconv.Itoa(pid) + "/fd"
		dir, err := os.Open(base)
		if err != nil {
			continue
		}
		names, _ := dir.Readdirnames(maxDescriptors - looked)
		_ = dir.Close()
		looked += len(names)
		for _, name := range names {
			link, err := os.Readlink(base + "/" + name)
			if err != nil || !strings.HasSuffix(link, " (deleted)") || !below(link, dirs) {
				continue
			}
			var info unix.Stat_t
			if unix.Stat(base+"/"+name, &info) != nil || info.Nlink > 0 {
				continue
			}
			id := [2]uint64{info.Dev, info.Ino}
			if _, double := seen[id]; !double {
				seen[id] = struct{}{}
				sum += info.Blocks * 512
			}
		}
		if looked >= maxDescriptors {
			break
		}
	}
	return sum
}

func below(path string, dirs []string) bool {
	for _, dir := range dirs {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}
