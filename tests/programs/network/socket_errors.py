import errno
import socket

taken = socket.create_server(("127.0.0.1", 0))
port = taken.getsockname()[1]
try:
    socket.socket().bind(("127.0.0.1", port))
except OSError as error:
    print(errno.errorcode[error.errno])
taken.close()
try:
    socket.create_connection(("127.0.0.1", port), timeout=30)
except ConnectionRefusedError:
    print("refused")
quiet = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(quiet.getsockname())
client.settimeout(0.02)
try:
    client.recv(1)
except TimeoutError:
    print("timeout")
client.shutdown(socket.SHUT_WR)
connection, _ = quiet.accept()
print(connection.recv(1))
try:
    socket.getaddrinfo("no address", 80, flags=socket.AI_NUMERICHOST)
except socket.gaierror:
    print("no address")
for each in (client, connection, quiet):
    each.close()

# expect:
# EADDRINUSE
# refused
# timeout
# b''
# no address
