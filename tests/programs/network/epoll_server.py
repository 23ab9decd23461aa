import select
import socket

listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)
epoll = select.epoll()
epoll.register(listener, select.EPOLLIN)
clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
for n, client in enumerate(clients):
    client.sendall(f"client {n}\n".encode())
open_connections, lines = {}, []
while len(lines) < 3:
    for number, event in epoll.poll(30):
        if number == listener.fileno():
            connection, _ = listener.accept()
            connection.setblocking(False)
            epoll.register(connection, select.EPOLLIN | select.EPOLLET)
            open_connections[connection.fileno()] = connection
        elif event & select.EPOLLIN:
            lines.append(open_connections[number].recv(100).decode().strip())
print(sorted(lines))
epoll.close()
for each in (*clients, *open_connections.values(), listener):
    each.close()

# expect:
# ['client 0', 'client 1', 'client 2']
