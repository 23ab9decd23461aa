// Package stats reads what the pod and its runs consume: cgroup v1 or v2,
// disk use, network. Every reader takes its root directory as an argument, so
// that tests work on recorded files.
package stats

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Cgroup is the container's own group. On v1 each controller has a directory;
// on v2 all are the same one.
type Cgroup struct {
	Version int // 1, 2, or 0 where there is none to read
	memory  string
	cpu     string
	blkio   string
	pids    string
}

// unlimited is above any real limit: v1 writes "none" as the largest page
// multiple of an int64.
const unlimited = int64(1) << 60

// OpenCgroup finds the group. Root is /sys/fs/cgroup; self is the text of
// /proc/self/cgroup. In a container the group is mounted at the root itself,
// and the path in self may be one of the host that does not exist here.
func OpenCgroup(root, self string) *Cgroup {
	paths := map[string]string{}
	for line := range strings.SplitSeq(self, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) == 3 {
			for name := range strings.SplitSeq(parts[1], ",") {
				paths[name] = parts[2]
			}
		}
	}
	pick := func(controller, mount, file string) string {
		for _, dir := range []string{filepath.Join(root, mount, paths[controller]), filepath.Join(root, mount)} {
			if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
				return dir
			}
		}
		return ""
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		if dir := pick("", "", "memory.current"); dir != "" {
			return &Cgroup{Version: 2, memory: dir, cpu: dir, blkio: dir, pids: dir}
		}
		return &Cgroup{}
	}
	g := &Cgroup{Version: 1, memory: pick("memory", "memory", "memory.usage_in_bytes"),
		blkio: pick("blkio", "blkio", "blkio.throttle.io_service_bytes"), pids: pick("pids", "pids", "pids.max")}
	for _, mount := range []string{"cpuacct", "cpu,cpuacct", "cpuacct,cpu"} {
		if g.cpu == "" {
			g.cpu = pick("cpuacct", mount, "cpuacct.usage")
		}
	}
	if g.memory == "" && g.cpu == "" {
		return &Cgroup{}
	}
	return g
}

// number reads a file with one number; nil when it cannot be read or is none,
// such as "max".
func number(dir, file string) *int64 {
	if dir == "" {
		return nil
	}
	raw, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// keyed reads one value from a file of "key value" lines.
func keyed(dir, file, key string) *int64 {
	if dir == "" {
		return nil
	}
	raw, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
				return &n
			}
		}
	}
	return nil
}

// PIDsLimit is how many tasks the group may have; nil where it does not say so
// itself. The kubelet's podPidsLimit is on the pod's group, out of sight.
func (g *Cgroup) PIDsLimit() *int64 { return number(g.pids, "pids.max") }

// MemoryLimit is nil where there is none.
func (g *Cgroup) MemoryLimit() *int64 {
	file := "memory.limit_in_bytes"
	if g.Version == 2 {
		file = "memory.max"
	}
	limit := number(g.memory, file)
	if limit != nil && *limit >= unlimited {
		return nil
	}
	return limit
}

// MemoryUsed is all the group is charged for, page cache included.
func (g *Cgroup) MemoryUsed() *int64 {
	if g.Version == 2 {
		return number(g.memory, "memory.current")
	}
	return number(g.memory, "memory.usage_in_bytes")
}

// MemoryUnreclaimable is what the kernel cannot drop to make room: use less
// the page cache. A program that only reads and writes files fills the group
// to its limit and is well.
func (g *Cgroup) MemoryUnreclaimable() *int64 {
	used := g.MemoryUsed()
	if used == nil {
		return nil
	}
	prefix := ""
	if g.Version == 1 {
		prefix = "total_"
	}
	rest := *used
	for _, key := range []string{"inactive_file", "active_file"} {
		if cache := keyed(g.memory, "memory.stat", prefix+key); cache != nil {
			rest -= *cache
		}
	}
	rest = max(rest, 0)
	return &rest
}

// MemoryPeak is the highest use since the container began.
func (g *Cgroup) MemoryPeak() *int64 {
	if g.Version == 2 {
		return number(g.memory, "memory.peak") // Linux 5.19
	}
	return number(g.memory, "memory.max_usage_in_bytes")
}

// OOMKills counts the processes the kernel killed for this group's limit.
func (g *Cgroup) OOMKills() *int64 {
	if g.Version == 2 {
		return keyed(g.memory, "memory.events", "oom_kill")
	}
	return keyed(g.memory, "memory.oom_control", "oom_kill") // Linux 4.13
}

// CPUSeconds is the CPU time of the group since the container began.
func (g *Cgroup) CPUSeconds() *float64 {
	var n *int64
	perSecond := 1e9
	if g.Version == 2 {
		n, perSecond = keyed(g.cpu, "cpu.stat", "usage_usec"), 1e6
	} else {
		n = number(g.cpu, "cpuacct.usage")
	}
	if n == nil {
		return nil
	}
	seconds := float64(*n) / perSecond
	return &seconds
}

// DiskIO sums the bytes read from and written to all devices. On v1 a kernel
// that does not count leaves the file without a line for any device.
func (g *Cgroup) DiskIO() (read, written *int64) {
	if g.blkio == "" {
		return nil, nil
	}
	file := "blkio.throttle.io_service_bytes"
	if g.Version == 2 {
		file = "io.stat"
	}
	raw, err := os.ReadFile(filepath.Join(g.blkio, file))
	if err != nil {
		return nil, nil
	}
	var r, w int64
	counted := g.Version == 2
	for line := range strings.SplitSeq(string(raw), "\n") {
		fields := strings.Fields(line)
		if g.Version == 1 && len(fields) == 3 { // "254:0 Read 4096"
			counted = true
			n, _ := strconv.ParseInt(fields[2], 10, 64)
			switch fields[1] {
			case "Read":
				r += n
			case "Write":
				w += n
			}
		}
		for _, field := range fields { // "254:0 rbytes=4096 wbytes=0 …"
			if v, ok := strings.CutPrefix(field, "rbytes="); ok {
				n, _ := strconv.ParseInt(v, 10, 64)
				r += n
			} else if v, ok := strings.CutPrefix(field, "wbytes="); ok {
				n, _ := strconv.ParseInt(v, 10, 64)
				w += n
			}
		}
	}
	if !counted {
		return nil, nil
	}
	return &r, &w
}
