package launch

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Any thread of a launcher may be the one that forks.
func TestProcessorsOfAnyThreadAreOwnLimits(t *testing.T) {
	before := readOwnLimits()
	if before.processors.Count() < 2 {
		t.Skip("needs two processors")
	}
	pinned, release := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		var one unix.CPUSet
		for cpu := 0; one.Count() == 0; cpu++ {
			if before.processors.IsSet(cpu) {
				one.Set(cpu)
			}
		}
		pinned <- unix.SchedSetaffinity(0, &one)
		<-release
	}()
	if err := <-pinned; err != nil {
		t.Fatal(err)
	}
	defer close(release)
	if readOwnLimits() == before {
		t.Error("a thread with one processor was not seen")
	}
}
