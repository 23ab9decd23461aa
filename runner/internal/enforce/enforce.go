// Package enforce finds out whether the pod's network policy is in force, by
// trying what the policy forbids: a connection to the operator.
//
// Most network plugins hear of a pod a moment after its first process runs and
// let everything pass until then; some enforce nothing at all. A connection
// that does not come about proves a policy only if nothing else can have
// prevented it, so a try counts between two signed calls from the address it
// went to: the network carried both, and the one that listens there was alive
// before and after.
package enforce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// A connection is begun several times, for a single packet may be lost, and a
// plugin that refuses may be limited to few answers. The last one has a tenth
// of a second: within a cluster an answer takes some milliseconds. Where the
// policy is in force this is what looking costs.
const (
	tries  = 3
	apart  = 100 * time.Millisecond
	window = tries * apart
)

// Watch is what is known of the pod's policy.
type Watch struct {
	mu      sync.Mutex
	seen    bool
	blocked netip.AddrPort // where a try did not get through; the next call from there proves it
}

// Seen tells whether the policy was seen in force. What was seen stays.
func (w *Watch) Seen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// Look takes one step. The caller's address is the one its connection came
// from; told is where it says it listens. One look at a time.
func (w *Watch) Look(ctx context.Context, caller netip.Addr, told netip.AddrPort) wire.Enforcement {
	w.mu.Lock()
	defer w.mu.Unlock()
	told = netip.AddrPortFrom(told.Addr().Unmap(), told.Port())
	switch {
	case w.seen:
		return wire.Enforcement{Finding: wire.PolicySeen}
	case told.Addr() != caller.Unmap():
		// What does not come back may have been lost at whatever translates.
		return wire.Enforcement{Finding: wire.Translated, Message: fmt.Sprintf(
			"the call came from %s and says that it was sent from %s", caller.Unmap(), told.Addr())}
	case w.blocked.IsValid() && w.blocked == told:
		w.seen = true
		return wire.Enforcement{Finding: wire.PolicySeen}
	}
	w.blocked = netip.AddrPort{}
	result := try(ctx, told)
	if result.Finding == wire.Blocked {
		w.blocked = told
	}
	return result
}

// try tells whether any of several connections came about.
func try(ctx context.Context, to netip.AddrPort) wire.Enforcement {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	results := make(chan error, tries)
	for number := range tries {
		go func() {
			select {
			case <-ctx.Done():
				results <- ctx.Err()
			case <-time.After(time.Duration(number) * apart):
				results <- connect(ctx, to)
			}
		}()
	}
	var odd error
	for range tries {
		err := <-results
		if err == nil {
			return wire.Enforcement{Finding: wire.Connected}
		}
		if !prevented(err) {
			odd = err
		}
	}
	if odd != nil {
		return wire.Enforcement{Finding: wire.Untried, Message: odd.Error()}
	}
	return wire.Enforcement{Finding: wire.Blocked}
}

func connect(ctx context.Context, to netip.AddrPort) error {
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// prevented tells what a policy does to a connection: silence, or a refusal by
// ICMP or RST, or one by the kernel itself. Everything else, such as a want of
// descriptors, says nothing about it.
func prevented(err error) bool {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	for _, one := range []error{
		unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.EPERM,
	} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
