package sign

import (
	"encoding/hex"
	"strings"
	"sync"
	"time"
)

// maxNonces bounds the memory of the replay window. An operator that signs
// 1,000 calls a second fills 60,000 in a minute; more than the bound is
// refused, never forgotten, for forgetting would open the window to replays.
const maxNonces = 1 << 17

// nonceWindow remembers the nonces of the last minute in two halves: a nonce
// is good for Window either side of our clock, so it must be known for twice
// that. Rotating maps keep no time for each entry.
type nonceWindow struct {
	mu        sync.Mutex
	young     map[[16]byte]struct{}
	old       map[[16]byte]struct{}
	youngFrom time.Time
}

func newNonceWindow() *nonceWindow {
	return &nonceWindow{young: map[[16]byte]struct{}{}}
}

// parseNonce takes 32 lower-case hex characters.
func parseNonce(text string) (key [16]byte, ok bool) {
	if len(text) != 2*len(key) || strings.ToLower(text) != text {
		return key, false
	}
	_, err := hex.Decode(key[:], []byte(text))
	return key, err == nil
}

// add reports whether the nonce is new and there is room for it. Only the
// monotonic part of now counts for ageing, when it has one: a step of the
// wall clock must not empty the window.
func (w *nonceWindow) add(key [16]byte, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if age := now.Sub(w.youngFrom); age >= 2*Window {
		w.old, w.young, w.youngFrom = w.young, map[[16]byte]struct{}{}, now
		if age >= 4*Window {
			w.old = nil
		}
	}
	if _, seen := w.young[key]; seen {
		return false
	}
	if _, seen := w.old[key]; seen {
		return false
	}
	if len(w.young)+len(w.old) >= maxNonces {
		return false
	}
	w.young[key] = struct{}{}
	return true
}
