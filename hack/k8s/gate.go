package main

import (
	"net/netip"
	"sync"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// gate keeps the addresses of pods that policies are known for in an nftables set. The rules
// around the set (hack/cluster/policies.py) drop new connections of every other address of the
// pods' range: a pod's address is in the API only half a second after its first process runs,
// and until then no policy can be found for it.
type gate struct {
	mutex      sync.Mutex
	connection *nftables.Conn
	set        *nftables.Set
	node       string
	pods       map[types.UID][]netip.Addr
	owners     map[netip.Addr]int
}

func newGate(table, set, node string) (*gate, error) {
	connection, err := nftables.New()
	if err != nil {
		return nil, err
	}
	found, err := connection.GetSetByName(
		&nftables.Table{Name: table, Family: nftables.TableFamilyINet}, set)
	if err != nil {
		return nil, err
	}
	connection.FlushSet(found)
	if err := connection.Flush(); err != nil {
		return nil, err
	}
	return &gate{
		connection: connection,
		set:        found,
		node:       node,
		pods:       map[types.UID][]netip.Addr{},
		owners:     map[netip.Addr]int{},
	}, nil
}

// handlers tell the gate of pods. They belong on the informer that the policies are judged by:
// it stores a pod before it tells of it.
func (g *gate) handlers() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { g.see(object.(*corev1.Pod), false) },
		UpdateFunc: func(_, object any) { g.see(object.(*corev1.Pod), false) },
		DeleteFunc: func(object any) {
			if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			if pod, ok := object.(*corev1.Pod); ok {
				g.see(pod, true)
			}
		},
	}
}

func (g *gate) see(pod *corev1.Pod, gone bool) {
	if pod.Spec.NodeName != g.node || pod.Spec.HostNetwork {
		return
	}
	var now []netip.Addr
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if !gone && !ended {
		for _, address := range pod.Status.PodIPs {
			if parsed, err := netip.ParseAddr(address.IP); err == nil && parsed.Is4() {
				now = append(now, parsed)
			}
		}
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	before := g.pods[pod.UID]
	if len(now) == 0 {
		delete(g.pods, pod.UID)
	} else {
		g.pods[pod.UID] = now
	}
	// Opened before closed: an update that changes nothing must not close for a moment.
	for _, address := range now {
		if g.owners[address]++; g.owners[address] == 1 {
			g.write(address, g.connection.SetAddElements)
		}
	}
	for _, address := range before {
		if g.owners[address]--; g.owners[address] == 0 {
			delete(g.owners, address)
			g.write(address, g.connection.SetDeleteElements)
		}
	}
}

func (g *gate) write(
	address netip.Addr, change func(*nftables.Set, []nftables.SetElement) error,
) {
	err := change(g.set, []nftables.SetElement{{Key: address.AsSlice()}})
	if err == nil {
		err = g.connection.Flush()
	}
	if err != nil {
		klog.ErrorS(err, "The set of known pods could not be changed", "address", address)
	}
}
