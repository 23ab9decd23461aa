package proc

import (
	"runtime"
	"sync"
)

// ThreadsAhead makes threads that the Go runtime keeps for later. It dies when
// it needs one and the kernel has no room, which a fork bomb sees to.
func ThreadsAhead(count int) {
	var held, over sync.WaitGroup
	release := make(chan struct{})
	held.Add(count)
	for range count {
		over.Go(func() {
			runtime.LockOSThread()
			held.Done()
			<-release
			runtime.UnlockOSThread() // else the thread would end with its goroutine
		})
	}
	held.Wait()
	close(release)
	over.Wait()
}
