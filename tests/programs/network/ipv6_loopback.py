import socket

try:
    server = socket.create_server(("::1", 0), family=socket.AF_INET6)
except OSError:
    server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname()[:2], timeout=30)
connection, address = server.accept()
client.sendall(b"six")
print(connection.recv(10))
print(socket.inet_pton(socket.AF_INET6, "::1").hex()[-4:], socket.inet_ntoa(b"\x7f\0\0\1"), socket.htons(1) in (1, 256))
for each in (client, connection, server):
    each.close()

# expect:
# b'six'
# 0001 127.0.0.1 True
