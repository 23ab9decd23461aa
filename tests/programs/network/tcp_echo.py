import socket
import threading

def serve(listener):
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(1024):
            connection.sendall(data[::-1])

with socket.create_server(("127.0.0.1", 0)) as listener:
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    with socket.create_connection(listener.getsockname(), timeout=30) as client:
        for word in (b"hello", b"world"):
            client.sendall(word)
            print(client.recv(1024))
    thread.join()
print(listener.fileno())

# expect:
# b'olleh'
# b'dlrow'
# -1
