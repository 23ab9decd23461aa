package proc

import (
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTreeFindsOurChild(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	tree, err := ReadTree()
	if err != nil || !Usable() {
		t.Fatal(err)
	}
	if tree.Parent[child.Process.Pid] != os.Getpid() || !slices.Contains(tree.Descendants(os.Getpid(), nil), child.Process.Pid) {
		t.Error("the child is not in the tree")
	}
	if slices.Contains(tree.Descendants(os.Getpid(), func(pid int) bool { return pid == child.Process.Pid }), child.Process.Pid) {
		t.Error("the child was not skipped")
	}
	if TreeMemory([]int{child.Process.Pid}) < 100_000 {
		t.Error("no memory")
	}
}

func TestTreeLeavesOutZombies(t *testing.T) {
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, state, ok := stat(child.Process.Pid); ok && state == 'Z' {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no zombie")
		}
	}
	tree, err := ReadTree()
	if _, there := tree.Parent[child.Process.Pid]; there || err != nil {
		t.Errorf("zombie in the tree, %v", err)
	}
	_ = child.Wait()
}

func TestDescendantsOfAnyShape(t *testing.T) {
	tree := &Tree{children: map[int][]int{1: {2, 3}, 2: {4}, 4: {5}, 9: {9}}}
	if got := tree.Descendants(1, nil); !reflect.DeepEqual(got, []int{2, 3, 4, 5}) {
		t.Error(got)
	}
	if got := tree.Descendants(1, func(pid int) bool { return pid == 2 }); !reflect.DeepEqual(got, []int{3}) {
		t.Error(got)
	}
	if got := tree.Descendants(9, nil); got != nil {
		t.Error(got)
	}
}

func TestParseIO(t *testing.T) {
	io, ok := parseIO([]byte("rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1000\n"))
	if !ok || io != (IO{4096, 7192}) {
		t.Errorf("%+v, %v", io, ok)
	}
	if _, ok := parseIO([]byte("rchar: 1\n")); ok {
		t.Error("half a file was taken")
	}
	if io, ok := OpenSelfIO().Read(); !ok || io.ReadBytes < 0 {
		t.Errorf("our own: %+v, %v", io, ok)
	}
	if _, ok := (*IOFile)(nil).Read(); ok {
		t.Error("a missing file gave figures")
	}
}

func TestParseNetwork(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999      9    0    0    0     0          0         0      999      9    0    0    0     0       0          0
  eth0: 1500     12    0    0    0     0          0         0      900      8    0    0    0     0       0          0
  eth1:  100      1    0    0    0     0          0         0       50      1    0    0    0     0       0          0
`
	sum, ok := parseNetwork(strings.NewReader(text))
	if !ok || sum != (Network{1600, 950, 13, 9}) {
		t.Errorf("%+v, %v", sum, ok)
	}
	if _, ok := parseNetwork(strings.NewReader("")); ok {
		t.Error("an empty file gave figures")
	}
	if _, ok := ReadNetwork(); !ok {
		t.Error("ours cannot be read")
	}
}

func TestHeldFiles(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(dir + "/gone")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mapped) }()
	look := func(dirs ...string) *Held {
		held := NewHeld(dirs)
		held.Look([]int{os.Getpid()})
		held.LookThoroughly([]int{os.Getpid()})
		return held
	}
	if got := look(dir); got.Bytes != 0 || got.Unmeasured != "" {
		t.Errorf("with its name: %+v", got)
	}
	_ = os.Remove(f.Name())
	if got := look(dir); got.Bytes < 100_000 || got.Bytes > 150_000 || got.Unmeasured != "" {
		t.Errorf("without: %+v", got)
	}
	if got := look(dir + "2"); got.Bytes != 0 || got.Unmeasured != "" {
		t.Errorf("of another directory: %+v", got)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	if got := look(dir); got.Unmeasured != "descriptors on their way through a socket" {
		t.Errorf("on its way: %+v", got)
	}
	_ = unix.Close(pair[0])
	_ = unix.Close(pair[1])
	_ = f.Close()
	if got := look(dir); got.Bytes != 0 || got.Unmeasured != "a mapping of a deleted file" {
		t.Errorf("mapped only: %+v", got)
	}
}

// What is stopped already stays so; what is made meanwhile is stopped too.
func TestFreezeAndThaw(t *testing.T) {
	start := func() *exec.Cmd {
		command := exec.Command("sleep", "60")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
		return command
	}
	awaitState := func(pid int, want byte) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			_, state, ok := stat(pid)
			if ok && state == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d is %c and not %c", pid, state, want)
			}
		}
	}
	pids := []int{start().Process.Pid, start().Process.Pid}
	awaitState(pids[0], 'S')
	_ = syscall.Kill(pids[0], syscall.SIGSTOP)
	awaitState(pids[0], 'T')
	calls := 0
	frozen := Freeze(func() []int {
		if calls++; calls == 2 {
			pids = append(pids, start().Process.Pid)
		}
		return pids
	})
	awaitState(pids[1], 'T')
	awaitState(pids[2], 'T')
	frozen.Thaw()
	awaitState(pids[1], 'S')
	awaitState(pids[2], 'S')
	awaitState(pids[0], 'T')
}
