package stats

import (
	"time"

	"github.com/soulbox-dev/soulbox/runner/internal/proc"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// Gather reads all figures of the pod. RunningExecutions is left to the caller.
func Gather(g *Cgroup, disk *Disk, now time.Time) wire.Stats {
	s := wire.Stats{
		Time: wire.Time{Time: now}, CgroupVersion: g.Version,
		CPUSecondsTotal: g.CPUSeconds(), MemoryBytes: g.MemoryUsed(), MemoryPeakBytes: g.MemoryPeak(),
		MemoryUnreclaimableBytes: g.MemoryUnreclaimable(),
		MemoryLimitBytes:         g.MemoryLimit(), OOMKills: g.OOMKills(),
	}
	s.DiskReadBytes, s.DiskWriteBytes = g.DiskIO()
	if used, gap := disk.Used(time.Second); gap == nil {
		s.DiskUsedBytes = &used
	}
	if network, ok := proc.ReadNetwork(); ok {
		s.NetworkRxBytes, s.NetworkTxBytes = &network.RxBytes, &network.TxBytes
		s.NetworkRxPackets, s.NetworkTxPackets = &network.RxPackets, &network.TxPackets
	}
	if tree, err := proc.ReadTree(); err == nil {
		n := int64(len(tree.Parent))
		s.Processes = &n
	}
	return s
}
