package server

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A program in the sandbox can open connections to its own pod until the
// runner has no descriptor left. So few of the pod's own are held at once, and
// a bound is set for all others.
const (
	maxOwnConnections   = 4
	maxOtherConnections = 256
)

// Between tries to accept a connection that the kernel has no room for.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// OwnAddresses gives a test for loopback and the addresses of the pod's
// interfaces, which do not change in its life.
func OwnAddresses() func(net.IP) bool {
	own := map[string]bool{}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok {
				own[network.IP.String()] = true
			}
		}
	}
	return func(ip net.IP) bool { return ip == nil || ip.IsLoopback() || own[ip.String()] }
}

// Bounded closes connections beyond the bounds at once.
func Bounded(l net.Listener, isOwn func(net.IP) bool) net.Listener {
	return &bounded{
		Listener: l, isOwn: isOwn,
		own: make(chan struct{}, maxOwnConnections), other: make(chan struct{}, maxOtherConnections),
	}
}

type bounded struct {
	net.Listener
	isOwn func(net.IP) bool
	own   chan struct{}
	other chan struct{}
}

// Accept fails when the listener was closed, and for nothing else. A program can
// use up what the kernel counts by UID (descriptors that are watched by epoll,
// for one): net/http would end the server, and the runner the pod.
func (b *bounded) Accept() (net.Conn, error) {
	for pause := firstPause; ; {
		conn, err := b.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			time.Sleep(pause)
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		places := b.other
		if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok && b.isOwn != nil && b.isOwn(tcp.IP) {
			places = b.own
		}
		select {
		case places <- struct{}{}:
			return &counted{Conn: conn, leave: sync.OnceFunc(func() { <-places })}, nil
		default:
			_ = conn.Close()
		}
	}
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
