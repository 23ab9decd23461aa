package stats

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func want(t *testing.T, name string, got *int64, value int64) {
	t.Helper()
	if got == nil || *got != value {
		t.Errorf("%s: %v, want %d", name, got, value)
	}
}

func wantAbsent(t *testing.T, name string, got *int64) {
	t.Helper()
	if got != nil {
		t.Errorf("%s: %d, want none", name, *got)
	}
}

// The files of both versions tell of the same container.
func TestRecordedGroups(t *testing.T) {
	for version, root := range map[int]string{1: "testdata/v1", 2: "testdata/v2"} {
		g := OpenCgroup(root, "")
		if g.Version != version {
			t.Fatalf("%s: version %d", root, g.Version)
		}
		want(t, "limit", g.MemoryLimit(), 256<<20)
		want(t, "used", g.MemoryUsed(), 20<<20)
		want(t, "peak", g.MemoryPeak(), 30<<20)
		want(t, "unreclaimable", g.MemoryUnreclaimable(), 14<<20)
		want(t, "oom kills", g.OOMKills(), 3)
		read, written := g.DiskIO()
		want(t, "read", read, 5096)
		want(t, "written", written, 12288)
		if cpu := g.CPUSeconds(); cpu == nil || *cpu < 1.2345 || *cpu > 1.2346 {
			t.Errorf("cpu: %v", cpu)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGroupWithoutLimit(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/memory/memory.usage_in_bytes", "1\n")
	write(t, root+"/memory/memory.limit_in_bytes", "9223372036854771712\n")
	wantAbsent(t, "v1", OpenCgroup(root, "").MemoryLimit())
	root = t.TempDir()
	write(t, root+"/cgroup.controllers", "memory\n")
	write(t, root+"/memory.current", "1\n")
	write(t, root+"/memory.max", "max\n")
	wantAbsent(t, "v2", OpenCgroup(root, "").MemoryLimit())
}

func TestGroupOfTheProcessIsPreferredToTheRoot(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/memory/memory.usage_in_bytes", "1\n")
	write(t, root+"/memory/ours/memory.usage_in_bytes", "2\n")
	want(t, "on the host", OpenCgroup(root, "4:memory:/ours\n2:cpuacct:/\n").MemoryUsed(), 2)
	want(t, "in a container", OpenCgroup(root, "4:memory:/kubepods/pod1\n").MemoryUsed(), 1)
	root = t.TempDir()
	write(t, root+"/cgroup.controllers", "memory\n")
	write(t, root+"/memory.current", "1\n")
	write(t, root+"/ours/memory.current", "2\n")
	want(t, "v2", OpenCgroup(root, "0::/ours\n").MemoryUsed(), 2)
}

func TestWhatCannotBeReadIsAbsent(t *testing.T) {
	for name, root := range map[string]string{"no group": t.TempDir(), "nothing": "/nonexistent"} {
		g := OpenCgroup(root, "")
		if g.Version != 0 || g.CPUSeconds() != nil {
			t.Errorf("%s: %+v", name, g)
		}
		for figure, got := range map[string]*int64{
			"limit": g.MemoryLimit(), "used": g.MemoryUsed(), "peak": g.MemoryPeak(),
			"unreclaimable": g.MemoryUnreclaimable(), "oom": g.OOMKills(),
		} {
			wantAbsent(t, name+" "+figure, got)
		}
	}
	root := t.TempDir()
	write(t, root+"/memory/memory.usage_in_bytes", "garbage\n")
	write(t, root+"/blkio/blkio.throttle.io_service_bytes", "Total 0\n") // a kernel that does not count
	g := OpenCgroup(root, "")
	read, written := g.DiskIO()
	wantAbsent(t, "garbage", g.MemoryUsed())
	wantAbsent(t, "read", read)
	wantAbsent(t, "written", written)
	s := Gather(g, NewDisk("", t.TempDir()), time.Now())
	wantAbsent(t, "gathered", s.MemoryBytes)
	want(t, "disk", s.DiskUsedBytes, 0)
}

func TestDiskCountsAFileOnceAndEveryDirectory(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	block := make([]byte, 100_000)
	for _, err := range []error{
		os.WriteFile(first+"/a", block, 0o600), os.Link(first+"/a", first+"/b"),
		os.Symlink(first+"/a", first+"/c"), os.WriteFile(second+"/d", block, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	disk := NewDisk("", first, second)
	if used, gap := disk.Used(0); gap != nil || used < 200_000 || used > 250_000 {
		t.Errorf("%d, %v", used, gap)
	}
	if err := os.WriteFile(first+"/e", block, 0o600); err != nil {
		t.Fatal(err)
	}
	if used, _ := disk.Used(time.Hour); used > 250_000 {
		t.Errorf("measured again within the hour: %d", used)
	}
	disk.took = 0
	used, _ := disk.Used(0)
	if last, _ := disk.Last(); used < 300_000 || last != used {
		t.Errorf("not measured again: %d, %d", used, last)
	}
}
