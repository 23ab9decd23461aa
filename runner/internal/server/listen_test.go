package server

import (
	"errors"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// scripted gives one answer after the other.
type scripted struct {
	net.Listener
	answers []error // nil: a connection
}

func (s *scripted) Accept() (net.Conn, error) {
	answer := s.answers[0]
	s.answers = s.answers[1:]
	if answer != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: answer}
	}
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return ours, nil
}

// A program that leaves the kernel no room for a connection does not end the server.
func TestAcceptEndsWithItsListenerOnly(t *testing.T) {
	noRoom := os.NewSyscallError("epoll_ctl", unix.ENOSPC)
	listener := Bounded(&scripted{answers: []error{noRoom, unix.EMFILE, nil, unix.ENOMEM, net.ErrClosed}}, nil)
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
}
