import socket
import socketserver
import threading

class Calculator(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            a, op, b = line.decode().split()
            result = {"+": int(a) + int(b), "*": int(a) * int(b)}[op]
            self.wfile.write(f"{result}\n".encode())

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

with Server(("127.0.0.1", 0), Calculator) as server:
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    with socket.create_connection(server.server_address, timeout=30) as client, client.makefile("rw") as stream:
        for question in ("1 + 2", "6 * 7"):
            stream.write(question + "\n")
            stream.flush()
            print(stream.readline().strip())
    server.shutdown()

# expect:
# 3
# 42
