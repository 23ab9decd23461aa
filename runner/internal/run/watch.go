package run

import (
	"context"
	"time"
)

func (m *Manager) watch(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

var _ = time.Second

func (m *Manager) capture(run *Run) {}
