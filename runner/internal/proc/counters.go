package proc

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
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
