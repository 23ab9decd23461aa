package stats

import (
	"net"
	"os"
	"testing"
	"time"
)

// What lies in a connection to oneself and a datagram that nobody reads counts.
func TestSocketMemoryIsThatOfUnreadBytes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	before := SocketMemory(uint32(os.Geteuid()))
	_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	sent := 0
	for block := make([]byte, 1<<16); err == nil; {
		var n int
		n, err = conn.Write(block)
		sent += n
	}
	if _, err := packets.WriteTo(make([]byte, 50_000), packets.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	after := SocketMemory(uint32(os.Geteuid()))
	if before == 0 && after == 0 {
		t.Skip("the kernel does not tell")
	}
	if after-before < int64(sent/2+50_000) {
		t.Errorf("%d bytes were sent, and %d are counted", sent+50_000, after-before)
	}
	if other := SocketMemory(uint32(os.Geteuid()) + 12345); other != 0 {
		t.Errorf("%d bytes of a user who has no socket", other)
	}
}

func TestAnswersThatAreNoneEndTheSum(t *testing.T) {
	whole := diagRequest(2, 6)
	for length := range whole {
		if bytes, _ := diagSum(whole[:length], 0); bytes != 0 {
			t.Errorf("%d of the first %d bytes", bytes, length)
		}
	}
}
