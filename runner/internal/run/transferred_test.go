package run

import (
	"testing"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
)

func TestTransferredIsNeverNegative(t *testing.T) {
	before := proc.Network{RxBytes: 100, TxBytes: 50}
	received, sent := transferred(before, proc.Network{RxBytes: 130, TxBytes: 20})
	if received != 30 || sent != 0 {
		t.Errorf("received %d, sent %d; 30 and 0 are wanted", received, sent)
	}
}
