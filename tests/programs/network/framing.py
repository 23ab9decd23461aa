import socket
import struct
import threading

def send(sock, payload):
    sock.sendall(struct.pack("!I", len(payload)) + payload)

def receive(sock):
    def exactly(n):
        out = b""
        while len(out) < n:
            piece = sock.recv(n - len(out))
            if not piece:
                raise EOFError
            out += piece
        return out
    return exactly(struct.unpack("!I", exactly(4))[0])

a, b = socket.socketpair()
big = bytes(range(256)) * 4096
sender = threading.Thread(target=lambda: [send(a, p) for p in (b"", b"small", big)] and a.close())
sender.start()
print([len(receive(b)) for _ in range(3)])
try:
    receive(b)
except EOFError:
    print("end")
sender.join()
b.close()

# expect:
# [0, 5, 1048576]
# end
